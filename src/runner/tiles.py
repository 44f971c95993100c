"""Predictions of what is too large for one pass: by overlapping tiles, read and written a slab at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

Region = tuple[slice, ...]


class Readable(Protocol):
    """A tensor, a numpy array or memory map, a data set of HDF5: what has a shape and gives regions of itself."""

    @property
    def shape(self) -> Sequence[int]: ...

    def __getitem__(self, region: Any, /) -> Any: ...


class Writable(Protocol):
    """The same, for results."""

    @property
    def shape(self) -> Sequence[int]: ...

    def __setitem__(self, region: Any, values: Any, /) -> None: ...


def starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin along an axis: ``tile - overlap`` apart, the last one moved back so that it ends at the end.

    An axis shorter than a tile has one, which is cut. Raises ``ValueError`` unless 0 <= overlap < tile.
    """
    if not 0 <= overlap < tile:
        raise ValueError(f"overlap must be at least 0 and less than tile, got an overlap of {overlap} and {tile}")
    return [*range(0, length - tile, tile - overlap), max(length - tile, 0)]


def tiles(shape: Sequence[int], *, tile: Sequence[int], overlap: Sequence[int]) -> list[Region]:
    """The regions of equal size ``tile`` that cover all of ``shape``, the last axis running fastest.

    Neighbours share ``overlap`` places along each axis, the last two along an axis maybe more.
    Raises ``ValueError`` for sizes that do not fit each other.
    """
    if not len(shape) == len(tile) == len(overlap):
        raise ValueError(f"shape, tile and overlap need as many axes, got {[*shape]}, {[*tile]} and {[*overlap]}")
    axes = [
        [slice(at, min(at + size, length)) for at in starts(length, size, shared)]
        for length, size, shared in zip(shape, tile, overlap, strict=True)
    ]
    return list(product(*axes))


@dataclass(frozen=True)
class Axis:
    """The tiles along one axis, and what is kept of each."""

    length: int
    tiles: tuple[slice, ...]
    kept: tuple[slice, ...]

    @classmethod
    def of(cls, length: int, *, tile: int, overlap: int, halo: int) -> Axis:
        """A tile keeps all but ``halo`` places at each end, and those, too, where the axis ends."""
        if halo < 0 or 2 * halo > overlap:
            raise ValueError(
                f"halo must lie between 0 and half of overlap={overlap}, got {halo}; more would leave gaps"
            )
        spans = [slice(at, min(at + tile, length)) for at in starts(length, tile, overlap)]
        kept = [slice(span.start + halo * (span.start > 0), span.stop - halo * (span.stop < length)) for span in spans]
        return cls(length, tuple(spans), tuple(kept))

    def counts(self) -> Tensor:
        """How many tiles keep each place, float64 (length,)."""
        counts = torch.zeros(self.length, dtype=torch.float64)
        for span in self.kept:
            counts[span] += 1
        return counts


def predict_tiled(
    model: Callable[[Tensor], Tensor],
    volume: Readable,
    *,
    tile: Sequence[int],
    overlap: Sequence[int],
    halo: Sequence[int] | None = None,
    batch_size: int = 1,
    device: torch.device | str = "cpu",
    out: Writable | None = None,
) -> Writable:
    """What ``model`` makes of ``volume``, (C, *S) or (*S,) of one channel, as (K, *S) in ``out``.

    S has an axis for each number of ``tile``; ``out`` None is a new float32 tensor. The model takes tiles (B, C, *tile)
    of the volume's own type, on ``device``, and gives (B, K, *tile); it should be in evaluation mode. Of each tile
    ``halo`` places (None: none) are dropped at every end that lies inside the volume; where several tiles are left,
    their mean counts. With a halo as wide as the model sees, this is what it makes of the whole volume at once.

    Memory: the tiles of a batch, and in float64 what was predicted for tiles at one place of the first axis of S.
    Raises ``ValueError`` for sizes that do not fit each other, and for a model that gives another size.
    """
    count = len(tile)
    size = tuple(volume.shape[-count:])
    if len(volume.shape) not in (count, count + 1):
        raise ValueError(f"tile={[*tile]} needs volumes of {count} axes, and one of channels, got {[*volume.shape]}")
    given = {"tile": tile, "overlap": overlap, "halo": halo if halo is not None else [0] * count}
    for name, value in given.items():
        if len(value) != count:
            raise ValueError(f"{name} must have a number for each of {count} axes of {size}, got {[*value]}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    axes = [Axis.of(length, tile=t, overlap=o, halo=h) for length, t, o, h in zip(size, *given.values(), strict=True)]
    predict = partial(_predicted, model, volume, device=torch.device(device))
    with torch.inference_mode():
        for rows, values in _slabs(predict, axes, batch_size=batch_size):
            if out is None:
                out = torch.empty(len(values), *size)
            if tuple(out.shape) != (len(values), *size):
                raise ValueError(f"out must have the shape {(len(values), *size)}, got {tuple(out.shape)}")
            _write(out, rows, values)
    assert out is not None, "there is at least one tile"
    return out


def _slabs(
    predict: Callable[[Sequence[Region]], Tensor], axes: Sequence[Axis], *, batch_size: int
) -> Iterator[tuple[slice, Tensor]]:
    """Which places along the first axis are done, and the means there, float64 (K, rows, …), from first to last."""
    first, *others = axes
    counts = first.counts()
    for axis in others:
        counts = counts[..., None] * axis.counts()  # tiles make a grid
    places = list(product(*(range(len(axis.tiles)) for axis in others)))
    following = [*(span.start for span in first.kept[1:]), first.length]
    carried: Tensor | None = None  # sums over places that the tiles before keep, too
    for span, kept, end in zip(first.tiles, first.kept, following, strict=True):
        sums: Tensor | None = None
        for some in (places[at : at + batch_size] for at in range(0, len(places), batch_size)):
            regions = [(span, *_at(place, [axis.tiles for axis in others])) for place in some]
            predicted = predict(regions)
            if sums is None:
                sums = predicted.new_zeros(predicted.shape[1], kept.stop - kept.start, *counts.shape[1:])
            for place, region, values in zip(some, regions, predicted, strict=True):
                own = (kept, *_at(place, [axis.kept for axis in others]))
                inside = [slice(o.start - r.start, o.stop - r.start) for o, r in zip(own, region, strict=True)]
                sums[:, :, *own[1:]] += values[:, *inside]
        assert sums is not None, "a grid has at least one tile"
        if carried is not None:
            sums[:, : carried.shape[1]] += carried
        yield slice(kept.start, end), sums[:, : end - kept.start] / counts[kept.start : end]
        carried = sums[:, end - kept.start :]


def _write(out: Writable, rows: slice, values: Tensor) -> None:
    if isinstance(out, Tensor):
        out[:, rows] = values.to(out.dtype)
    else:
        out[:, rows] = values.float().numpy()


def _at(place: Sequence[int], axes: Sequence[Sequence[slice]]) -> Region:
    return tuple(axis[at] for at, axis in zip(place, axes, strict=True))


def _predicted(
    model: Callable[[Tensor], Tensor], volume: Readable, regions: Sequence[Region], *, device: torch.device
) -> Tensor:
    """(B, K, *tile) on the host, float64, of tiles that are read now."""
    batch = torch.stack([_channels_first(volume[(..., *region)], len(region)) for region in regions])
    values = model(batch.to(device)).to("cpu", torch.float64)  # host sync
    if len(values) != len(batch) or values.shape[2:] != batch.shape[2:]:
        wanted = ", ".join(map(str, batch.shape[2:]))
        raise ValueError(f"the model must give ({len(batch)}, K, {wanted}), got {tuple(values.shape)}")
    return values


def _channels_first(values: Any, axes: int) -> Tensor:
    read = values if isinstance(values, Tensor) else torch.from_numpy(np.asarray(values))
    return read if read.ndim > axes else read[None]
