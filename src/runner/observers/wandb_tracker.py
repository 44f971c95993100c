"""Weights & Biases: the observer that a configuration asks for, and the client that its process runs. Free of torch."""

from __future__ import annotations

import functools
import netrc
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.observers.outbox import FOLDER, Begin, End, Points
from runner.observers.tracking import Tracking, sweep_name
from runner.observers.tracking_problems import missing_package, named
from runner.problem import Problem

if TYPE_CHECKING:
    from wandb import Run

MODES = ("online", "offline")
EXIT_CODES = {"completed": 0, "failed": 1, "interrupted": 130}


def wandb(
    *,
    project: str = "runner",
    entity: str | None = None,
    mode: str = "online",
    run_name: str | None = None,
    group: str | None = None,
    weights: str = "none",
    wait_s: float = 30.0,
) -> Tracking:
    """A run of Weights & Biases for each run, those of a sweep in one group. ``logger=wandb``.

    ``mode``: online, or offline, which leaves in ``tracking/wandb`` of the run what ``wandb sync`` sends later.
    ``run_name``: None takes the run's; ``group``: None takes the sweep's. The others are those of ``Tracking``.
    Raises ``ValueError`` for another mode, and for names that are empty.
    """
    if mode not in MODES:
        raise ValueError(f"logger.wandb.mode must be one of {', '.join(MODES)}, got {mode!r}")
    named("wandb", project=project, entity=entity, run_name=run_name, group=group)
    settings = {"project": project, "entity": entity, "mode": mode, "run_name": run_name, "group": group}
    return Tracking(
        "wandb",
        tracker=f"{__name__}:{WandbTracker.__name__}",
        settings=settings,
        problems=functools.partial(_problems, mode),
        weights=weights,
        wait_s=wait_s,
    )


def _problems(mode: str, elsewhere: bool) -> Iterator[Problem]:
    yield from missing_package("wandb")
    if mode == "online" and not elsewhere and not _has_key():
        remedy = "set WANDB_API_KEY in the environment, run wandb login, or set logger.wandb.mode=offline"
        yield Problem("mode", mode, "nobody is logged in", remedy)


def _has_key() -> bool:
    """Whether wandb would find a key, without asking it: in the environment, or where ``wandb login`` puts it."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    file = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    try:
        return file.is_file() and any("wandb" in host for host in netrc.netrc(file).hosts)
    except (netrc.NetrcParseError, OSError):
        return False


class WandbTracker:
    """One run of Weights & Biases, whose own process keeps what it is told and sends it when it can."""

    def __init__(
        self,
        *,
        folder: Path,
        project: str,
        entity: str | None,
        mode: str,
        run_name: str | None,
        group: str | None,
    ) -> None:
        self._folder = folder
        self._given = {"project": project, "entity": entity, "mode": mode}
        self._run_name = run_name
        self._group = group
        self._run: Run | None = None

    def begin(self, begin: Begin, memory: dict[str, Any]) -> None:
        import wandb as client

        settings = client.Settings(
            silent=True, console="off", disable_git=True, disable_code=True, x_disable_stats=True, x_disable_meta=True
        )
        group = self._group or (sweep_name(self._folder.parent) if begin.in_sweep else None)
        self._run = client.init(
            **self._given,  # type: ignore[arg-type]
            id=memory["key"],
            resume="allow",
            name=self._run_name or begin.run,
            group=group,
            dir=str(self._folder / FOLDER),
            config={**begin.params, **{f"runner/{name}": value for name, value in begin.facts.items()}},
            allow_val_change=True,
            settings=settings,
            reinit="finish_previous",
        )
        memory["run_id"] = memory["key"]

    def points(self, points: Sequence[Points]) -> None:
        assert self._run is not None, "begin comes first"
        for some in points:
            self._run.log(dict(some.values), step=some.step)

    def file(self, path: Path, name: str) -> None:
        assert self._run is not None, "begin comes first"
        if name.startswith("."):  # the configuration, which wandb has as its own; it takes no hidden files
            return
        self._run.save(str(path), base_path=str(self._folder), policy="now")

    def end(self, end: End) -> None:
        assert self._run is not None, "begin comes first"
        self._run.summary.update({"runner/state": end.state, "runner/reason": end.reason})
        self._run.finish(exit_code=EXIT_CODES[end.state])
