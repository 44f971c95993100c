"""Sweeps of many jobs: what is wrong with some stops all before the first, and what some meet stops no other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from cli.terminal import SMALL, Terminal
from cli.troubled_loss import CAUSES

pytestmark = pytest.mark.slow

JOBS, KILLED = 40, 16
SWEEP = [
    *SMALL,
    "loss._target_=cli.troubled_loss.TroubledLoss",
    "trainer.steps=3",
    "trainer.save_every_steps=1",
    "hydra.sweeper.report=false",
    "hydra/launcher=pool",
    "hydra.launcher.n_jobs=2",
    "-m",
]
FORTY = [*SWEEP, f"seed=range({JOBS})", "hydra.sweep.dir=sweep"]
TROUBLED = dict(zip(["mlp__3", "mlp__25", "mlp__29", "mlp__33", "mlp__38"], CAUSES.items(), strict=True))
TESTS = Path(__file__).resolve().parents[1]


def test_three_misconfigured_jobs_among_a_hundred_stop_all(terminal: Terminal) -> None:
    """The others are one configuration, which is tried once."""
    own = ["model._target_=cli.user_code.Picky", "~model.hidden", "~model.dropout"]
    seeds = ["+model.numbers={s7: 7, s42: 42, s99: 99}", '+model.number="${oc.select:model.numbers.s${seed},1}"']
    answer = terminal.runs(*own, *seeds, "seed=range(100)", "hydra.sweep.dir=sweep", "-m")
    assert (answer.status, answer.out, terminal.left()) == (2, "", [])
    assert answer.messages == ["3 of 100 jobs cannot run as they are, so none was started"]
    told = {row["jobs"]: row["what is wrong"] for row in answer.table}
    assert list(told) == ["mlp__7", "mlp__42", "mlp__99"]
    assert told["mlp__7"] == "a number needs two digits"
    assert "[2, 64] X [42, 10]" in told["mlp__42"]
    assert told["mlp__99"].startswith("KeyError: 'no block 99'")


def digests(sweep: Path) -> dict[str, str]:
    return {name: manifest["weights_sha256"] for name, manifest in manifests(sweep).items()}


def manifests(sweep: Path) -> dict[str, Any]:
    return {file.parent.name: json.loads(file.read_text()) for file in sweep.glob("mlp__*/manifest.json")}


def states(sweep: Path) -> dict[str, dict[str, Any]]:
    return {file.parent.name: json.loads(file.read_text()) for file in sweep.glob("mlp__*/status.json")}


def files(sweep: Path, names: set[str]) -> dict[Path, tuple[int, bytes]]:
    """When each file of these jobs was written, and what it holds."""
    found = [path for name in names for path in (sweep / name).rglob("*") if path.is_file()]
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in found}


def test_forty_jobs_of_which_five_end_badly_and_a_sweep_that_is_killed(terminal: Terminal) -> None:
    """Of each job one at least is undisturbed, so equal weights are those of an undisturbed sweep."""
    five_jobs_end_badly(terminal)
    they_train_when_the_causes_are_gone_and_on_request(terminal)
    interrupted = a_killed_sweep_goes_on(terminal)
    assert not set(TROUBLED) & interrupted
    whole, killed = digests(terminal.folder / "sweep"), digests(terminal.folder / "killed")
    assert len(killed) == KILLED
    assert killed == {name: whole[name] for name in killed}


def five_jobs_end_badly(terminal: Terminal) -> None:
    lines = [f"{name} {way}" for name, (way, _) in TROUBLED.items()]
    (terminal.folder / "troubles.txt").write_text("\n".join(lines))
    answer = terminal.runs(*FORTY, small=False)
    (terminal.folder / "troubles.txt").unlink()
    assert answer.status == 1
    assert f"{JOBS - 5} of {JOBS} runs completed" in answer.out
    told = states(terminal.folder / "sweep")
    assert len(told) == JOBS
    for name, status in told.items():
        _, cause = TROUBLED.get(name, ("", ""))
        assert status["state"] == ("failed" if cause else "completed"), name
        assert status["reason"].startswith(cause)
        assert not cause or f"FAILED {name}: {cause}" in answer.out


def they_train_when_the_causes_are_gone_and_on_request(terminal: Terminal) -> None:
    sweep = terminal.folder / "sweep"
    before = files(sweep, set(states(sweep)))
    answer = terminal.runs(*FORTY, small=False)
    assert answer.status == 1
    assert answer.out.count("not tried again: retry_failed=true does") == 5
    assert files(sweep, set(states(sweep))) == before
    well = set(states(sweep)) - set(TROUBLED)
    before = files(sweep, well)
    answer = terminal.trains(*FORTY, "retry_failed=true", small=False)
    assert f"{JOBS} of {JOBS} runs completed, {JOBS - 5} of them before" in answer.out
    assert files(sweep, well) == before
    for name, manifest in manifests(sweep).items():
        first_steps = [session["first_step"] for session in manifest["sessions"]]
        assert first_steps == ([0, 1] if name in TROUBLED else [0]), name


def a_killed_sweep_goes_on(terminal: Terminal) -> set[str]:
    """Nothing is lost or trained twice. The jobs that were under way when it was killed."""
    sweep = terminal.folder / "killed"
    kill_after(5, terminal.folder)
    done = {name for name, status in states(sweep).items() if status["state"] == "completed"}
    assert 5 <= len(done) < KILLED
    before = files(sweep, done)
    checkpoints = sweep.glob("mlp__*/checkpoints/last.pt")
    saved = {file.parents[1].name: torch.load(file, weights_only=True)["step"] for file in checkpoints}
    answer = terminal.runs("resume", "killed", small=False)
    assert answer.status == 0, answer.err
    assert f"{KILLED} of {KILLED} runs completed, {len(done)} of them before" in answer.out
    assert files(sweep, done) == before
    for name, manifest in manifests(sweep).items():
        last = manifest["sessions"][-1]["first_step"]
        assert last == (0 if name in done else saved.get(name, 0)), name
    return set(saved) - done


def kill_after(completed: int, folder: Path) -> None:
    """Start the sweep "killed", and kill its process when as many jobs have completed. Returns when all have ended."""
    name, value = "SWEEP_TEST", str(folder)
    with (folder / "output.txt").open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "runner", *SWEEP, f"seed=range({KILLED})", "hydra.sweep.dir=killed"],
            cwd=folder,
            env={**os.environ, name: value, "PYTHONPATH": str(TESTS)},
            stdout=output,
            stderr=output,
        )
    mark = f"{name}={value}".encode()
    try:
        while sum(status["state"] == "completed" for status in states(folder / "killed").values()) < completed:
            assert process.poll() is None, (folder / "output.txt").read_text()
            time.sleep(0.02)
        process.kill()
        process.wait()
        until_s = time.monotonic() + 60
        while marked(mark) and time.monotonic() < until_s:
            time.sleep(0.05)
        assert marked(mark) == []
    finally:
        for number in marked(mark):
            os.kill(number, signal.SIGKILL)


def marked(mark: bytes) -> list[int]:
    """The living processes that have it in their environment."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found
