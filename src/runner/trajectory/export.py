"""Recorded weights for other programs."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from runner.trajectory.reader import Trajectory

VALUES = 1000  # of a line, and of a file's lines


def to_csv(trajectory: Trajectory, folder: Path) -> list[Path]:
    """``layer{n}/part{mmmm}.csv``: the values 1000 m to 1000 m + 999 of the n-th layer, a line a snapshot.

    ``layers.csv`` says which layer is which, ``steps.csv`` of which step each line is. Numbers read back as the same
    fp32. Raises ``ValueError`` for a folder that holds something.
    """
    _make(folder)
    written, described = [], []
    for number, (layer, names) in enumerate(trajectory.layers.items()):
        matrix = trajectory.matrix_of(names)
        into = folder / f"layer{number}"
        into.mkdir()
        parts = range(0, matrix.shape[1], VALUES)
        for part, start in enumerate(parts):
            written.append(into / f"part{part:04d}.csv")
            np.savetxt(written[-1], _numpy(matrix[:, start : start + VALUES]), fmt="%.9g", delimiter=",")
        described.append((number, layer, " ".join(names), matrix.shape[1], len(parts)))
    written.append(_table(folder / "layers.csv", ("layer", "name", "tensors", "values", "parts"), described))
    written.append(_table(folder / "steps.csv", ("line", "step"), enumerate(trajectory.steps)))
    return written


def to_npz(trajectory: Trajectory, folder: Path) -> list[Path]:
    """``trajectory.npz``: ``steps`` (T,), and each tensor by its name (T, *shape) in fp32.

    Raises ``ValueError`` for a folder that holds something.
    """
    _make(folder)
    path = folder / "trajectory.npz"
    shapes = trajectory.layout.shapes
    arrays = {name: _numpy(trajectory.matrix_of([name])).reshape(-1, *shapes[name]) for name in trajectory.names}
    np.savez(path, steps=np.array(trajectory.steps), **arrays)  # type: ignore[arg-type]
    return [path]


def _make(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder}: holds something already; name a new folder")
    folder.mkdir(parents=True, exist_ok=True)


def _numpy(values: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    array: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = values.float().numpy()
    return array


def _table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(columns)
        table.writerows(rows)
    return path
