"""Experiment trackers: an observer that writes what they are to be told, and the process that tells them."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from runner.observers.observer import EvaluationRecord, Outcome, RunInfo, StepRecord
from runner.observers.outbox import FOLDER, Begin, End, File, Outbox, Points, waiting
from runner.problem import Problem

log = logging.getLogger(__name__)

WEIGHTS = ("best", "none")
AT_THE_START = (".hydra/config.yaml", "summary.txt", "code*.diff")
AT_THE_END = ("images/*.png", "history/*.svg")


class Tracking:
    """Tells the tracker ``name`` of a run, so that training never waits for it.

    Every message is first a line of ``tracking/<name>.jsonl`` in the run's folder; a process of its own sends the
    lines, and tries again while the tracker is away. At the end of the run it has ``wait_s`` seconds since the last
    message that arrived; what is left stays in the file, is said, and is sent when the run is resumed. ``tracker`` and
    ``settings`` are those of ``Begin``. ``weights``: "best" sends ``checkpoints/best_*.pt`` at the end, "none" none.
    Raises ``ValueError`` for another word, a ``wait_s`` that is negative, and when the run has no folder.
    """

    sends_files = True  # which others write: it is told after them

    def __init__(
        self,
        name: str,
        *,
        tracker: str,
        settings: Mapping[str, Any],
        problems: Callable[[bool], Iterator[Problem]] = lambda elsewhere: iter(()),  # noqa: ARG005
        weights: str = "best",
        wait_s: float = 30.0,
    ) -> None:
        if weights not in WEIGHTS:
            raise ValueError(f"logger.{name}.weights must be one of {', '.join(WEIGHTS)}, got {weights!r}")
        if not wait_s >= 0:
            raise ValueError(f"logger.{name}.wait_s must not be negative, got {wait_s}; set wait_s=30")
        self.name = name
        self.tracker = tracker
        self.settings = dict(settings)
        self.weights = weights
        self.wait_s = wait_s
        self._problems = problems
        self._folder: Path | None = None
        self._outbox: Outbox | None = None
        self._courier: Courier | None = None

    def problems(self, *, elsewhere: bool = False) -> list[Problem]:
        """What stands against it on this machine; ``elsewhere``: the run will be on another one."""
        return list(self._problems(elsewhere))

    def started(self, run: RunInfo) -> None:
        if run.folder is None:
            raise ValueError(f"logger.{self.name} needs a run with a folder to write into; give one, or leave it out")
        self._folder = run.folder
        self._outbox = Outbox(run.folder / FOLDER / f"{self.name}.jsonl", step=run.first_step)
        self._outbox.put(
            Begin(
                tracker=self.tracker,
                settings=self.settings,
                run=run.name,
                params=dict(run.hparams),
                step=run.first_step,
                time_ms=now_ms(),
                facts=facts_of(run.folder),
                in_sweep=run.folder.name in jobs_of(run.folder.parent),
            )
        )
        self._files(AT_THE_START)
        self._courier = Courier(self._outbox.path)

    def logged(self, record: StepRecord) -> None:
        self._points("logged", record.step, record.scalars())

    def evaluated(self, record: EvaluationRecord) -> None:
        self._points("evaluated", record.step, record.metrics)

    def finished(self, outcome: Outcome) -> None:
        if self._outbox is None or self._courier is None:
            return
        if outcome.metrics:
            self._points("final", outcome.step, outcome.metrics)
        self._files(AT_THE_END if self.weights == "none" else (*AT_THE_END, "checkpoints/best_*.pt"))
        self._outbox.put(End(outcome.state, outcome.step, now_ms(), outcome.reason))
        self._outbox.close()
        courier, self._courier = self._courier, None
        if left := courier.finish(self.wait_s):
            log.warning("%s", left_over(self._outbox.path, left))

    def _points(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        assert self._outbox is not None, "started comes first"
        self._outbox.put(Points(kind, step, now_ms(), dict(values)))

    def _files(self, patterns: Sequence[str]) -> None:
        assert self._folder is not None, "started comes first"
        assert self._outbox is not None, "started comes first"
        for pattern in patterns:
            for path in sorted(self._folder.glob(pattern)):
                self._outbox.put(File(path.relative_to(self._folder).as_posix()))


class Courier:
    """The process that sends an outbox (``runner.observers.sending``), and a thread that says what it has to say."""

    def __init__(self, outbox: Path) -> None:
        self.outbox = outbox
        source = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "runner.observers.sending", str(outbox)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if os.environ.get("RUNNER_TRACEBACK") else subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,  # a terminal's Ctrl-C is for the run
        )
        self._moved_s = time.monotonic()
        self._awaited = False
        self._thread = threading.Thread(target=self._listen, name=f"{outbox.stem} courier", daemon=True)
        self._thread.start()

    def finish(self, wait_s: float) -> int:
        """Wait until all is sent, or nothing was for ``wait_s`` seconds; how many messages are left."""
        self._awaited, self._moved_s = True, time.monotonic()
        assert self._process.stdin is not None, "a pipe was asked for"
        try:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(b"\n")
                self._process.stdin.flush()
            while self._process.poll() is None and time.monotonic() - self._moved_s < wait_s:
                time.sleep(0.02)
        finally:  # a second Ctrl-C, too
            self._process.kill()
            self._process.wait()
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
            self._thread.join()
        return waiting(self.outbox)

    def _listen(self) -> None:
        assert self._process.stdout is not None, "a pipe was asked for"
        with self._process.stdout as words:
            for line in words:
                self._moved_s = time.monotonic()
                said = json.loads(line).get("say")
                if said:
                    log.warning("%s", said)
        if not self._awaited:
            log.warning("%s is told no more: its process ended; %s keeps what it misses", self.outbox.stem, self.outbox)


def send_rest(folder: Path, *, wait_s: float = 30.0) -> list[str]:
    """Send what trackers of the run in ``folder`` have missed; a line for each that had missed something."""
    told = []
    for outbox in sorted((folder / FOLDER).glob("*.jsonl")):
        if missed := waiting(outbox):
            left = Courier(outbox).finish(wait_s)
            told.append(left_over(outbox, left) if left else f"{outbox.stem} has been told the {missed} it had missed")
    return told


def left_over(outbox: Path, count: int) -> str:
    run = outbox.parent.parent
    missed = f"{outbox.stem} was not told everything: {count} messages wait in {outbox}"
    return f"{missed}; send them with: python -m runner resume {run}"


def jobs_of(folder: Path) -> list[str]:
    """The names of the jobs when ``folder`` is that of a sweep."""
    ledger = folder / "sweep.json"
    return [job["name"] for job in json.loads(ledger.read_bytes())["jobs"]] if ledger.is_file() else []


def sweep_name(folder: Path) -> str:
    """The last two parts of a sweep's folder, which are its date and time unless it was given another one."""
    return "/".join(folder.resolve().parts[-2:])


def facts_of(folder: Path) -> dict[str, str]:
    """What the manifest knows from the start on, and people search for."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_bytes()) if path.is_file() else {}
    checkouts = manifest.get("code", {}).get("git") or [{}]
    found = {
        "folder": str(folder.resolve()),
        "config_digest": manifest.get("config_digest"),
        "code.commit": checkouts[0].get("commit"),
        "data.sha256": manifest.get("data", {}).get("sha256"),
        "initial_weights_sha256": manifest.get("initial_weights_sha256"),
    }
    return {name: value for name, value in found.items() if value}


def now_ms() -> int:
    return time.time_ns() // 1_000_000
