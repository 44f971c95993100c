"""Made-up volumes: shapes that do not touch, brighter than what is around them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from scipy import ndimage
from torch import Tensor

from runner.data.source import Arrays, Examples, MaskSpec
from runner.data.sources import ShapeVolumes

FEW: dict[str, Any] = {"train_size": 20, "valid_size": 3, "test_size": 3}


def whole(part: Examples) -> tuple[Tensor, ...]:
    assert isinstance(part, Arrays)
    return part.tensors


def test_volumes_and_masks_are_those_of_the_spec() -> None:
    source = ShapeVolumes(**FEW, image_size=[12, 16, 20], num_classes=4)
    splits = source.load()
    assert source.spec == splits.spec == MaskSpec(channels=1, image_size=(12, 16, 20), num_classes=4)
    volumes, masks = whole(splits.train)
    assert (volumes.shape, volumes.dtype) == ((20, 1, 12, 16, 20), torch.uint8)
    assert (masks.shape, masks.dtype) == ((20, 12, 16, 20), torch.uint8)
    assert set(masks.flatten().tolist()) == {0, 1, 2, 3}
    assert splits.class_names == ("background", "ball", "box", "ellipsoid")
    assert len(splits.mean) == len(splits.std) == 1
    assert len(splits.test) == 3


@pytest.mark.slow
def test_shapes_do_not_touch_each_other_and_are_evenly_bright() -> None:
    volumes, masks = whole(ShapeVolumes(**FEW, image_size=24, shapes=4, noise_std=0).load().train)
    for volume, mask in zip(volumes[:, 0], masks, strict=True):
        regions, count = ndimage.label(mask.numpy())
        assert count == 4
        for region in range(1, count + 1):
            inside = torch.from_numpy(regions == region)
            assert len(mask[inside].unique()) == len(volume[inside].unique()) == 1
            assert volume[inside].min() >= 127
        assert volume[mask == 0].unique().tolist() == [64]


def test_a_ball_is_round_and_a_box_is_full() -> None:
    def filled(label: int) -> list[float]:
        """The share of its bounding box that each shape fills: a ball π/6, a box all."""
        found = [ndimage.find_objects(ndimage.label((mask == label).numpy())[0]) for mask in masks]
        pieces = [mask[box] for mask, boxes in zip(masks, found, strict=True) for box in boxes]
        return [float((piece == label).float().mean()) for piece in pieces]

    _, masks = whole(ShapeVolumes(**FEW, image_size=40, num_classes=4).load().train)
    balls, boxes, ellipsoids = (torch.tensor(filled(label)) for label in (1, 2, 3))
    assert abs(float(balls.mean()) - torch.pi / 6) < 0.05
    assert boxes.min() == 1.0
    assert abs(float(ellipsoids.mean()) - torch.pi / 6) < 0.07


@pytest.mark.slow
def test_noise_and_seed_say_what_is_drawn() -> None:
    given: list[dict[str, Any]] = [{}, {}, {"seed": 1}, {"noise_std": 1.0}]
    digests = [ShapeVolumes(**FEW, image_size=12, **settings).load().digest for settings in given]
    assert len(set(digests)) == 3
    splits = ShapeVolumes(**FEW, image_size=12).load()
    assert not torch.equal(whole(splits.valid)[1], whole(splits.test)[1])
    quiet, loud = (whole(ShapeVolumes(**FEW, image_size=12, noise_std=n).load().train) for n in (0, 20))
    assert torch.equal(quiet[1], loud[1])
    assert abs(float((loud[0].float() - quiet[0].float()).std()) - 20) < 1


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"image_size": 8}, "must be at least 12 voxels, got 8"),
        ({"image_size": [16, 16]}, "must be voxels or [depth, height, width], at least 1, got [16, 16]"),
        ({"num_classes": 5}, "must lie between 2 and 4, got 5"),
        ({"shapes": 9}, "must lie between 1 and 4, got 9"),
        ({"noise_std": -1}, "must not be negative, got -1"),
        ({"train_size": 0}, "must be a whole number, at least 1, got 0"),
    ],
)
def test_settings_that_mean_nothing_are_problems(settings: dict[str, Any], line: str) -> None:
    (problem,) = ShapeVolumes(**{**FEW, **settings}).problems()
    assert problem.text == line
    assert problem.key == next(iter(settings))
