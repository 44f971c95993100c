"""The runs of sweeps, read from what they left: finished or not, none is left out. Free of torch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from runner.config.build import flat
from runner.sweep import ledger

COMPLETED = "completed"
ARCHIVED = re.compile(r"^archived_v\d+_[\d-]+__")  # before the name of a run that was archived
STATES = ("running", "interrupted", "killed", "failed", "damaged", "missing")  # of runs that did not


@dataclass(frozen=True)
class Run:
    """One run of a sweep. ``state`` is as in the ledger, or damaged: then ``reason`` says which file is.

    ``config`` holds the leaves of the resolved configuration by dotted key, ``choices`` the options of its groups as
    far as they are known. ``test`` are the scores of the final weights, empty unless completed; ``valid`` the best
    validation scores. ``duration_s`` is None unless it was trained in one go: pauses are not recorded.
    """

    name: str
    folder: Path
    state: str
    reason: str = ""
    step: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)
    choices: Mapping[str, str] = field(default_factory=dict)
    test: Mapping[str, float] = field(default_factory=dict)
    valid: Mapping[str, float] = field(default_factory=dict)
    weights_sha256: str | None = None
    steps_per_epoch: int | None = None
    duration_s: float | None = None

    @property
    def seed(self) -> int | None:
        return self.config.get("seed")

    @property
    def completed(self) -> bool:
        return self.state == COMPLETED

    @property
    def model(self) -> str:
        """The option that chose it; of a run without a ledger the beginning of its name, or the model's class."""
        name = ARCHIVED.sub("", self.name)
        front, separator, _ = name.partition(f"__{self.seed}")
        known = self.choices.get("model") or (front if separator else "")
        return known or str(self.config.get("model._target_", self.name)).rpartition(".")[2].lower()

    def score(self, metric: str) -> float | None:
        """``test/…`` of the final weights, or the best ``valid/…``."""
        return self.test.get(metric, self.valid.get(metric))

    @property
    def place(self) -> str:
        """Its name, and that of its sweep: other sweeps may have a run of the same name."""
        return f"{self.folder.resolve().parent.name}/{self.name}"

    def ending(self) -> str:
        """``failed at step 3: no memory``."""
        where = self.state if self.state == "missing" else f"{self.state} at step {self.step}"
        return f"{where}: {first_line(self.reason)}" if self.reason else where


def first_line(text: str) -> str:
    return (text.splitlines() or [""])[0]


def gathered(folders: Sequence[Path]) -> list[Run]:
    """The runs of sweeps, or single runs, in the order of ``folders`` and of each one's ledger; each folder once."""
    runs = (run for folder in folders for run in _of_folder(folder))
    return list({run.folder.resolve(): run for run in runs}.values())


def _of_folder(folder: Path) -> Iterator[Run]:
    entries = {entry.name: entry for entry in ledger.read(folder)}
    found = sorted((file.parent for file in folder.glob("*/manifest.json")), key=_by_numbers)
    if (folder / "manifest.json").is_file():
        found.append(folder)
    for name, entry in entries.items():
        yield _run(folder / name, entry)
    for run in found:
        if run == folder or run.name not in entries:
            yield _run(run, None)


def _by_numbers(folder: Path) -> list[tuple[float, str]]:
    """Seed 2 before seed 10."""
    parts = re.split(r"(\d+(?:\.\d+)?)", folder.name)
    return [(float(part), "") if place % 2 else (0.0, part) for place, part in enumerate(parts)]


def _run(folder: Path, entry: ledger.Entry | None) -> Run:
    config = dict(entry.config) if entry is not None else {}
    choices = dict(entry.choices) if entry is not None else {}
    try:
        state = ledger.state_of(folder)
    except (ValueError, TypeError, OSError) as error:
        return Run(folder.name, folder, "damaged", str(error), config=_leaves(config), choices=choices)
    manifest = state.manifest
    completed = state.state == COMPLETED
    return Run(
        name=folder.name,
        folder=folder,
        state=state.state,
        reason=state.reason,
        step=state.step,
        config=_leaves(manifest.get("config") or config),
        choices=choices,
        test=dict(manifest.get("metrics") or {}) if completed else {},
        valid=dict(manifest.get("best") or {}),
        weights_sha256=manifest.get("weights_sha256"),
        steps_per_epoch=manifest.get("steps_per_epoch"),
        duration_s=_duration_s(manifest) if completed else None,
    )


def _leaves(config: Mapping[str, Any]) -> dict[str, Any]:
    return flat(config) if config else {}


def _duration_s(manifest: Mapping[str, Any]) -> float | None:
    if len(manifest.get("sessions", [])) != 1:
        return None
    try:
        started, ended = (datetime.fromisoformat(manifest[key]) for key in ("started", "updated"))
    except (KeyError, TypeError, ValueError):
        return None
    return (ended - started).total_seconds()
