"""The paths of one run or of several seeds, layer by layer, as numbers."""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import add
from pathlib import Path

from runner.trajectory.analysis import (
    Components,
    Geometry,
    kernel_pca,
    pca,
    principal_cosines,
    subspace_distance,
    windows,
)
from runner.trajectory.reader import Trajectory, common_steps

ALL = "all weights"
WINDOWS, DIMENSIONS = 8, 3  # stretches of a path that are compared, and directions of each
Row = Sequence[object]


@dataclass(frozen=True)
class Study:
    """``geometries`` by layer, ``ALL`` first: of the snapshots at ``steps`` of the first run, then of the second, ….

    ``runs`` are their names.
    """

    runs: Sequence[str]
    steps: Sequence[int]
    geometries: Mapping[str, Geometry]

    @classmethod
    def of(cls, folders: Sequence[Path], *, pattern: str | None = None) -> Study:
        """Of the layers with tensors that match ``pattern``, at the steps that all runs have recorded.

        Raises ``ValueError`` for folders without comparable trajectories, for fewer than three common steps, and for
        weights that are not finite.
        """
        trajectories = [Trajectory(folder) for folder in folders]
        steps = common_steps(trajectories)
        if len(steps) < 3:
            shared = " that all runs have" if len(folders) > 1 else ""
            raise ValueError(f"a path needs three snapshots at least{shared}, got {len(steps)}; record more often")
        rows = [[each.steps.index(step) for step in steps] for each in trajectories]
        chosen = set(trajectories[0].matching(pattern))
        layers: dict[str, Geometry] = {}
        for layer, names in trajectories[0].layers.items():
            own = [name for name in names if name in chosen]
            if own:
                layers[layer] = Geometry.of([each.matrix_of(own) for each in trajectories], rows=rows)
                _refuse_infinite(layers[layer].norms.tolist(), layer, folders, steps)
        together = {ALL: reduce(add, layers.values())} if len(layers) > 1 else {}
        return cls(_labels(folders), steps, together | _short(layers))

    def rows(self, run: int) -> slice:
        """The snapshots of the run in all geometries."""
        return slice(run * len(self.steps), (run + 1) * len(self.steps))

    @cached_property
    def pca(self) -> dict[str, Components]:
        return {layer: pca(geometry) for layer, geometry in self.geometries.items()}

    @cached_property
    def pca_from_start(self) -> dict[str, Components]:
        """Of the displacements from each run's own first snapshot: seeds begin far from each other."""
        return {layer: pca(geometry.from_starts()) for layer, geometry in self.geometries.items()}

    @cached_property
    def kernel_pca(self) -> dict[str, Components]:
        return {layer: kernel_pca(geometry) for layer, geometry in self.geometries.items()}

    @cached_property
    def windows(self) -> list[slice]:
        """Of the steps of a run."""
        return windows(len(self.steps), parts=WINDOWS)

    def window_distances(self, layer: str, run: int) -> list[list[float]]:
        """Between the subspaces of each two windows of the run's path, from 0 to 1."""
        path = self.geometries[layer].among(self.rows(run))
        return [
            [subspace_distance(principal_cosines(path, one, other, dimensions=DIMENSIONS)) for other in self.windows]
            for one in self.windows
        ]

    def write(self, folder: Path) -> list[Path]:
        """The tables as CSV: pca, kernel_pca, motion, windows; of several runs pca_from_start and seeds, too."""
        components = ("layer", "run", "step", "component_1", "component_2", "share_1", "share_2")
        motion = ("layer", "run", "step", "norm", "distance_from_start", "step_length", "cosine")
        ends = ("layer", "run", "first_step", "last_step", "other_first_step", "other_last_step", "subspace_distance")
        tables: dict[str, tuple[Sequence[str], Iterable[Row]]] = {
            "pca": (components, self._components(self.pca)),
            "kernel_pca": (components, self._components(self.kernel_pca)),
            "motion": (motion, self._motion()),
            "windows": (ends, self._windows()),
        }
        if len(self.runs) > 1:
            tables["pca_from_start"] = components, self._components(self.pca_from_start)
            tables["seeds"] = ("layer", "step", "run", "other_run", "distance"), self._seeds()
        return [write_table(folder / f"{name}.csv", columns, rows) for name, (columns, rows) in tables.items()]

    def _components(self, found: Mapping[str, Components]) -> Iterator[Row]:
        for layer, components in found.items():
            shares = components.shares.tolist()
            for (run, step), place in zip(self._snapshots(), components.coordinates.tolist(), strict=True):
                yield layer, run, step, *place, *shares

    def _snapshots(self) -> Iterator[tuple[str, int]]:
        return itertools.product(self.runs, self.steps)

    def _motion(self) -> Iterator[Row]:
        """``step_length`` is that of the step to the next snapshot, ``cosine`` its direction's with the one before."""
        for layer, geometry in self.geometries.items():
            for number, run in enumerate(self.runs):
                path = geometry.among(self.rows(number))
                away = path.squared_distances()[0].sqrt().tolist()
                lengths = [*path.step_lengths().tolist(), ""]
                cosines = ["", *path.cosines().tolist(), ""]
                for values in zip(self.steps, path.norms.tolist(), away, lengths, cosines, strict=True):
                    yield layer, run, *values

    def _seeds(self) -> Iterator[Row]:
        for layer in self.geometries:
            for (one, other), distances in self.seed_distances(layer).items():
                for step, distance in zip(self.steps, distances, strict=True):
                    yield layer, step, self.runs[one], self.runs[other], distance

    def seed_distances(self, layer: str) -> dict[tuple[int, int], list[float]]:
        """Between each two runs at each step."""
        apart = self.geometries[layer].squared_distances().sqrt()
        pairs = itertools.combinations(range(len(self.runs)), 2)
        return {(one, other): apart[self.rows(one), self.rows(other)].diagonal().tolist() for one, other in pairs}

    def _windows(self) -> Iterator[Row]:
        ends = [(self.steps[window.start], self.steps[window.stop - 1]) for window in self.windows]
        for layer in self.geometries:
            for number, run in enumerate(self.runs):
                for one, distances in zip(ends, self.window_distances(layer, number), strict=True):
                    for other, distance in zip(ends, distances, strict=True):
                        yield layer, run, *one, *other, distance


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(columns)
        table.writerows(rows)
    return path


def _refuse_infinite(norms: Sequence[float], layer: str, folders: Sequence[Path], steps: Sequence[int]) -> None:
    """Nothing could be said of any other snapshot: all would be compared with this one."""
    for norm, (folder, step) in zip(norms, itertools.product(folders, steps), strict=True):
        if not math.isfinite(norm):
            raise ValueError(f"{folder}: {layer} is not finite at step {step}; choose other layers with --layers")


def _labels(folders: Sequence[Path]) -> list[str]:
    """The names of the folders; whole paths where two would be the same."""
    names = [folder.resolve().name for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]


def _short(layers: Mapping[str, Geometry]) -> dict[str, Geometry]:
    """Without the network's name, where all have the same."""
    networks = {name.partition(".")[0] for name in layers}
    return {name.partition(".")[2] if len(networks) == 1 and "." in name else name: it for name, it in layers.items()}
