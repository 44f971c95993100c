"""Tiles cover everything, and together they say what one pass over the whole would."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from runner.tiles import Axis, predict_tiled, starts, tiles

WHOLE = torch.randn(2, 13, 9, 11, generator=torch.Generator().manual_seed(0))
SMALL: dict[str, Any] = {"tile": (6, 5, 4), "overlap": (4, 3, 2)}


def pointwise(volumes: Tensor) -> Tensor:
    return torch.cat([volumes.sin(), volumes[:, :1] * 3], dim=1)


@pytest.mark.parametrize("length", range(1, 14))
@pytest.mark.parametrize(("tile", "overlap"), [(1, 0), (4, 0), (4, 1), (4, 3)])
def test_starts_cover_an_axis_with_the_fewest_tiles(length: int, tile: int, overlap: int) -> None:
    found = starts(length, tile, overlap)
    assert {place for at in found for place in range(at, min(at + tile, length))} == set(range(length))
    assert found == sorted(set(found))
    assert all(at + tile <= max(length, tile) for at in found)
    assert all(later - earlier == tile - overlap for earlier, later in itertools.pairwise(found[:-1]))
    assert len(found) == 1 or found[-2] + tile < length


def test_tiles_are_the_grid_of_all_axes() -> None:
    regions = tiles((5, 4), tile=(3, 4), overlap=(1, 0))
    assert regions == [(slice(0, 3), slice(0, 4)), (slice(2, 5), slice(0, 4))]
    assert len(tiles((13, 9, 11), **SMALL)) == 5 * 3 * 5


@pytest.mark.parametrize("halo", [0, 1])
def test_what_is_kept_covers_an_axis(halo: int) -> None:
    for length in range(1, 20):
        counts = Axis.of(length, tile=5, overlap=3, halo=halo).counts()
        assert counts.min() >= 1
        assert counts[0] == counts[-1] == 1


@pytest.mark.parametrize("halo", [None, (2, 1, 1)])
@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_a_pointwise_model_gives_the_same_to_the_bit(halo: tuple[int, ...] | None, batch_size: int) -> None:
    tiled = predict_tiled(pointwise, WHOLE, **SMALL, halo=halo, batch_size=batch_size)
    assert isinstance(tiled, Tensor)
    assert torch.equal(tiled, pointwise(WHOLE[None])[0])


def test_a_halo_as_wide_as_the_model_sees_gives_what_the_whole_does() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv3d(2, 3, 3, padding=1), nn.ReLU(), nn.Conv3d(3, 2, 3, padding=1))  # sees 2 around
    whole = model(WHOLE[None])[0]
    settings: dict[str, Any] = {"tile": (7, 7, 7), "overlap": (5, 5, 5)}
    tiled, without = (predict_tiled(model, WHOLE, **settings, halo=halo) for halo in ((2, 2, 2), None))
    assert isinstance(tiled, Tensor)
    assert (tiled - whole).abs().max() < 1e-6
    assert isinstance(without, Tensor)
    assert (without - whole).abs().max() > 1e-3  # the ends of tiles see zeros where there is more


def test_overlapping_predictions_are_averaged() -> None:
    numbers = iter([1.0, 2.0, 6.0])
    tiled = predict_tiled(
        lambda batch: torch.full_like(batch, next(numbers)), torch.zeros(1, 5), tile=(3,), overlap=(2,)
    )
    assert isinstance(tiled, Tensor)
    assert tiled.tolist() == [[1.0, 1.5, 3.0, 4.0, 6.0]]


class Recorded:
    """An array that remembers how much of it was read or written at once."""

    def __init__(self, values: np.ndarray[Any, Any]) -> None:
        self.values, self.shape = values, values.shape
        self.largest, self.written = 0, 0

    def __getitem__(self, region: Any) -> Any:
        self.largest = max(self.largest, self.values[region].size)
        return self.values[region]

    def __setitem__(self, region: Any, values: Any) -> None:
        self.largest = max(self.largest, values.size)
        self.written += values.size
        self.values[region] = values


def test_only_tiles_are_read_and_only_slabs_written(tmp_path: Path) -> None:
    given = Recorded(WHOLE.numpy())
    out = Recorded(np.memmap(tmp_path / "out", np.float32, "w+", shape=(3, 13, 9, 11)))
    assert predict_tiled(pointwise, given, **SMALL, out=out) is out
    assert given.largest == 2 * 6 * 5 * 4
    assert out.largest <= 3 * 6 * 9 * 11
    assert out.written == out.values.size  # each place once
    assert np.array_equal(out.values, pointwise(WHOLE[None])[0].numpy())


def test_one_channel_may_have_no_axis_of_its_own_and_keeps_its_type() -> None:
    seen: list[torch.dtype] = []

    def model(tile: Tensor) -> Tensor:
        seen.append(tile.dtype)
        return tile.float() / 255

    volume = np.arange(60, dtype=np.uint8).reshape(5, 12)
    tiled = predict_tiled(model, volume, tile=(8, 5), overlap=(0, 1))  # an axis shorter than a tile is cut
    assert isinstance(tiled, Tensor)
    assert torch.equal(tiled, torch.arange(60).view(1, 5, 12) / 255)
    assert set(seen) == {torch.uint8}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"overlap": (6, 0, 0)}, "overlap must be at least 0 and less than tile, got an overlap of 6 and 6"),
        ({"halo": (3, 0, 0)}, "halo must lie between 0 and half of overlap=4, got 3"),
        ({"halo": (1, 1)}, "halo must have a number for each of 3 axes"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"tile": (4,), "overlap": (0,)}, "needs volumes of 1 axes, and one of channels"),
        ({"out": torch.zeros(2, 13, 9, 11)}, r"out must have the shape \(3, 13, 9, 11\), got \(2, 13, 9, 11\)"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        predict_tiled(pointwise, WHOLE, **{**SMALL, **settings})


def test_a_model_that_changes_the_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the model must give \(1, K, 6, 5, 4\), got \(1, 2, 6, 5, 2\)"):
        predict_tiled(lambda batch: batch[..., ::2], WHOLE, **SMALL)
    with pytest.raises(ValueError, match="need as many axes"):
        tiles((4, 4), tile=(2,), overlap=(0, 0))
