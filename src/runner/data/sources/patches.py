"""Patches of volumes in HDF5 files as examples, read when they are asked for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from runner.data.source import IGNORED, Arrays
from runner.tiles import tiles

OPEN_FILES = 16  # of each process
Size = tuple[int, int, int]


@dataclass(frozen=True)
class Volume:
    """Where a volume lies, and its voxels along depth, height and width."""

    path: str
    raw: str
    label: str
    size: Size


@dataclass(frozen=True)
class Cut:
    """How patches are read: ``size`` voxels, and ``halo`` more at each end, of which only the raw values are shown."""

    size: Size
    halo: Size = (0, 0, 0)
    num_classes: int = 2
    ignored_label: int | None = None

    @property
    def outer(self) -> Size:
        depth, height, width = (size + 2 * halo for size, halo in zip(self.size, self.halo, strict=True))
        return (depth, height, width)


class Patches:
    """(raw (C, *outer), mask uint8 (*outer,)) of each place of each volume.

    raw is uint8 as stored, float32 in [0, 1] of uint16, float32 as stored of other numbers; beyond a volume's end it
    goes on mirrored. The mask is 255, does not count, in the halo and where the label is ``ignored_label``.
    With ``once`` patches lie side by side, and what the last one along an axis shares with the one before does not
    count a second time; otherwise they are ``stride`` apart. Those with less than ``min_foreground_fraction`` of
    their voxels in other classes than 0 are left out, which reads all labels.
    Raises ``ValueError`` for a label that is no class, when it is read.
    """

    def __init__(
        self,
        volumes: Sequence[Volume],
        cut: Cut,
        *,
        stride: Size,
        once: bool = False,
        min_foreground_fraction: float = 0.0,
    ) -> None:
        self.volumes = tuple(volumes)
        self.cut = cut
        overlap = [own - step for own, step in zip(cut.size, cut.size if once else stride, strict=True)]
        grids = [tiles(volume.size, tile=cut.size, overlap=overlap) for volume in volumes]
        self.numbers = np.repeat(np.arange(len(grids)), [len(grid) for grid in grids])  # of the volumes
        self.places = np.array([[span.start for span in region] for grid in grids for region in grid])
        self.seen = -self.places % cut.size if once else np.zeros_like(self.places)
        self.left_out = 0
        if min_foreground_fraction > 0:
            kept = np.array([self._foreground(at) >= min_foreground_fraction for at in range(len(self))], dtype=bool)
            self.left_out = int((~kept).sum())
            self.numbers, self.places, self.seen = self.numbers[kept], self.places[kept], self.seen[kept]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        volume, place = self.volumes[self.numbers[index]], self.places[index]
        raw = _mirrored(opened(volume.path)[volume.raw], place - self.cut.halo, self.cut.outer)
        mask = np.full(self.cut.outer, IGNORED, np.uint8)
        label = self._label(index)
        for axis, seen in enumerate(self.seen[index]):
            label[(slice(None),) * axis + (slice(0, seen),)] = IGNORED
        mask[tuple(slice(h, h + s) for h, s in zip(self.cut.halo, self.cut.size, strict=True))] = label
        return torch.from_numpy(as_pixels(raw)), torch.from_numpy(mask)

    @property
    def nbytes(self) -> int:
        raw, mask = self[0]
        return len(self) * (raw.nbytes + mask.nbytes)

    def arrays(self) -> Arrays:
        """All patches at once: with a ``stride`` less than their size they take more memory than the volumes."""
        columns = [torch.empty(len(self), *tensor.shape, dtype=tensor.dtype) for tensor in self[0]]
        for index in range(len(self)):
            for column, tensor in zip(columns, self[index], strict=True):
                column[index] = tensor
        return Arrays(*columns)

    def _label(self, index: int) -> NDArray[np.uint8]:
        """Without the halo."""
        volume, place = self.volumes[self.numbers[index]], self.places[index]
        region = tuple(slice(at, at + size) for at, size in zip(place.tolist(), self.cut.size, strict=True))
        label = np.asarray(opened(volume.path)[volume.label][region]).astype(np.int64)
        ignored = label == self.cut.ignored_label if self.cut.ignored_label is not None else np.zeros(1, dtype=bool)
        wrong = label[((label < 0) | (label >= self.cut.num_classes)) & ~ignored]
        if wrong.size:
            raise ValueError(
                f"{volume.path} has the label {wrong[0]} in {volume.label} at {place.tolist()} and further on, but "
                f"dataset.num_classes={self.cut.num_classes}; set it higher, or dataset.ignored_label={wrong[0]}"
            )
        return np.where(ignored, IGNORED, label).astype(np.uint8)

    def _foreground(self, index: int) -> float:
        """The share of a patch's voxels that are of a class other than 0."""
        label = self._label(index)
        return float(((label != 0) & (label != IGNORED)).mean())


def opened(path: str) -> Any:
    """The file for reading. Each process opens its own: a handle must not cross a fork."""
    return _opened(path, os.getpid())


@lru_cache(maxsize=OPEN_FILES)
def _opened(path: str, process: int) -> Any:  # noqa: ARG001
    import h5py

    return h5py.File(path, "r")


def as_pixels(raw: NDArray[Any]) -> NDArray[Any]:
    """uint8 as it is; uint16 as float32 in [0, 1]; other numbers as float32."""
    if raw.dtype == np.uint8:
        return raw
    return raw.astype(np.float32) / np.float32(65535 if raw.dtype == np.uint16 else 1)


def statistics(patches: Patches, *, count: int) -> tuple[list[float], list[float]]:
    """(mean, std) for each channel over at most ``count`` evenly spaced patches; uint8 is scaled to [0, 1].

    A constant channel gets std 1.
    """
    count = min(count, len(patches))
    totals = torch.zeros(3, 1, dtype=torch.float64)  # voxels, their sum, the sum of their squares
    for place in range(count):
        raw = patches[place * len(patches) // count][0]
        values = raw.double().flatten(1) / (255 if raw.dtype == torch.uint8 else 1)
        totals = totals + torch.stack([torch.ones_like(values), values, values**2]).sum(2)
    mean = totals[1] / totals[0]
    variance = totals[2] / totals[0] - mean**2
    return mean.tolist(), torch.where(variance > 1e-12 * mean**2, variance.clamp(min=0).sqrt(), 1.0).tolist()


def _mirrored(stored: Any, first: NDArray[np.int64], size: Size) -> NDArray[Any]:
    """(C, *size) of ``stored``, (D, H, W) or (C, D, H, W), from ``first`` on, which may lie outside."""
    length = np.array(stored.shape[-3:])
    inside = np.maximum(first, 0), np.minimum(first + size, length)
    region = tuple(slice(begin, end) for begin, end in zip(*(bound.tolist() for bound in inside), strict=True))
    read = np.asarray(stored[(..., *region)])
    missing = [(0, 0), *zip(inside[0] - first, first + size - inside[1], strict=True)]
    whole = read if read.ndim == 4 else read[None]
    return np.pad(whole, missing, mode="reflect") if np.any(missing) else whole
