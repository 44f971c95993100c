"""Recorded weights read back: nothing is loaded before it is looked at."""

from __future__ import annotations

import mmap
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from runner.trajectory.place import FOLDER
from runner.trajectory.selection import matches
from runner.trajectory.store import (
    DTYPES,
    RECORDS,
    STEP,
    Layout,
    files_of_steps,
    steps_of_records,
)

BITS = {"fp32": "<f4", "fp16": "<f2", "bf16": "<i2"}  # numpy has no bf16
MAP_NORESERVE = 0x4000  # of Linux; in the module mmap from Python 3.13 on


class Trajectory(Mapping[int, Mapping[str, Tensor]]):
    """The weights of a run by step and name: ``Trajectory(RUN)[390]["conv1.weight"]``.

    A name may leave out that of the network, ``model.``, where this leaves no doubt. Of ``format=records`` tensors are
    parts of the file, mapped into memory; writing to one changes the copy in memory only. Raises ``ValueError`` where
    there is no trajectory, or a damaged one.
    """

    def __init__(self, run: Path | str) -> None:
        self.run = Path(run)
        self.folder = self.run / FOLDER
        self.layout = Layout.read(self.folder)
        self._files: dict[int, Path] = {}
        if self.layout.format == "records":
            self.steps = steps_of_records(self.folder / RECORDS, self.layout)
        else:
            self._files = files_of_steps(self.folder)
            self.steps = list(self._files)
        if not self.steps:
            raise ValueError(f"{self.folder} holds no snapshot")

    @property
    def names(self) -> list[str]:
        return list(self.layout.shapes)

    @cached_property
    def layers(self) -> dict[str, list[str]]:
        """The names of the tensors of each layer, by its name: ``{"model.conv1": ["model.conv1.weight"]}``."""
        found: dict[str, list[str]] = {}
        for name in self.names:
            found.setdefault(name.rpartition(".")[0] or name, []).append(name)
        return found

    def __getitem__(self, step: int) -> Snapshot:
        if step not in self.steps:
            near = min(self.steps, key=lambda other: abs(other - step))
            raise KeyError(f"{self.run} has no weights of step {step}; the nearest is {near}")
        flat = self._weights[self.steps.index(step)] if not self._files else self._flat(step, self.names)
        return Snapshot(self.layout.views(flat))

    def __iter__(self) -> Iterator[int]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def matrix(self, pattern: str | None = None) -> Tensor:
        """(steps, weights) of the tensors whose names match ``pattern``, as ``include`` does; all without one.

        Of tensors that lie side by side, as those of one layer do, this is the mapped file itself; others are copied.
        Raises ``ValueError`` for a pattern that matches nothing.
        """
        return self.matrix_of(self.matching(pattern))

    def matching(self, pattern: str | None) -> list[str]:
        names = [name for name in self.names if pattern is None or matches(pattern, name)]
        if not names:
            raise ValueError(f"{pattern} matches no recorded tensor of {self.run}; there are {', '.join(self.names)}")
        return names

    def matrix_of(self, names: Sequence[str]) -> Tensor:
        """That of the tensors ``names``, in this order."""
        if self._files:
            return torch.stack([self._flat(step, names) for step in self.steps])
        places = [self.layout.places[name] for name in names]
        side_by_side = all(left.stop == right.start for left, right in pairwise(places))
        if side_by_side:
            return self._weights[:, places[0].start : places[-1].stop]
        return torch.cat([self._weights[:, place] for place in places], dim=1)

    @cached_property
    def _weights(self) -> Tensor:
        """(steps, values), each row behind the step that opens its record."""
        rows = np.frombuffer(self._mapped(), BITS[self.layout.dtype]).reshape(len(self.steps), -1)
        return torch.from_numpy(rows[:, STEP.size // rows.itemsize :]).view(DTYPES[self.layout.dtype])

    def _mapped(self) -> mmap.mmap:
        """The records. Writing to them changes a copy; no room is set aside for it, for they may be more than fit."""
        flags = mmap.MAP_PRIVATE | (MAP_NORESERVE if sys.platform == "linux" else 0)
        with (self.folder / RECORDS).open("rb") as file:
            return mmap.mmap(file.fileno(), len(self.steps) * self.layout.record_bytes, flags=flags)

    def _flat(self, step: int, names: Sequence[str]) -> Tensor:
        try:
            from safetensors import SafetensorError, safe_open
        except ImportError as error:
            raise ValueError(f"{self.folder} needs the package safetensors; install runner[safetensors]") from error
        try:
            with safe_open(self._files[step], framework="pt") as opened:
                return torch.cat([opened.get_tensor(name).flatten() for name in names])
        except SafetensorError as error:
            raise ValueError(f"{self._files[step]} is damaged: {error}") from error


class Snapshot(Mapping[str, Tensor]):
    """Tensors by name; the name of the network may be left out where this leaves no doubt."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = tensors

    def __getitem__(self, name: str) -> Tensor:
        if name in self._tensors:
            return self._tensors[name]
        found = [full for full in self._tensors if full.partition(".")[2] == name]
        if len(found) != 1:
            told = f"is recorded as {', '.join(found)}" if found else f"there are {', '.join(self._tensors)}"
            raise KeyError(f"{name}: {told}")
        return self._tensors[found[0]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def common_steps(trajectories: Sequence[Trajectory]) -> list[int]:
    """The steps that all have. Raises ``ValueError`` when there are none, or the tensors are not the same."""
    first = trajectories[0]
    for other in trajectories[1:]:
        if other.layout.shapes != first.layout.shapes:
            raise ValueError(f"{first.run} and {other.run} have recorded other tensors; compare runs of one model")
    steps = sorted(set.intersection(*(set(each.steps) for each in trajectories)))
    if not steps:
        raise ValueError("the runs have no recorded step in common")
    return steps


def stacked(runs: Sequence[Path | str], pattern: str | None = None) -> tuple[list[int], Tensor]:
    """The steps that all ``runs`` have, and their weights (runs, steps, weights) that match ``pattern``, a copy.

    Raises ``ValueError`` for runs of other tensors.
    """
    trajectories = [Trajectory(run) for run in runs]
    steps = common_steps(trajectories)
    rows = [each.matrix(pattern)[[each.steps.index(step) for step in steps]] for each in trajectories]
    return steps, torch.stack(rows)
