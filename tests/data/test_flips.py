"""Mirror images, of images, volumes and masks alike."""

from __future__ import annotations

import pytest
import torch

from runner.data.augment import Samples, check_changes, checked
from runner.data.data import Data
from runner.data.flips import Flips
from runner.data.source import MaskSpec, Spec
from runner.data.sources import ShapeVolumes
from runner.randomness import Randomness

MANY = 400


def samples(*size: int) -> Samples:
    return Samples(indices=torch.arange(MANY), step=3, epoch=0, image_size=size, randomness=Randomness(0))


@pytest.mark.parametrize("size", [(2, 3), (2, 3, 4)])
def test_each_axis_is_turned_over_in_half_of_the_samples_by_itself(size: tuple[int, ...]) -> None:
    (turned,) = Flips().draw(samples(*size))
    assert turned.shape == (MANY, len(size))
    assert 0.4 < float(turned.float().mean(0).min()) < float(turned.float().mean(0).max()) < 0.6
    assert len({tuple(row) for row in turned.tolist()}) == 2 ** len(size)


def test_what_is_drawn_is_done() -> None:
    volumes = torch.arange(3 * 2 * 2 * 3 * 4).view(3, 2, 2, 3, 4).byte()
    turned = torch.tensor([[True, False, False], [False, True, True], [False, False, False]])
    changed = Flips()(volumes, turned)
    assert torch.equal(changed[0], volumes[0].flip(-3))
    assert torch.equal(changed[1], volumes[1].flip(-2, -1))
    assert torch.equal(changed[2], volumes[2])
    assert changed.dtype == volumes.dtype


@pytest.mark.parametrize(("axes", "expected"), [(["width"], (-1,)), (["depth", "height"], (-3, -2))])
def test_only_the_axes_that_are_named_are_turned_over(axes: list[str], expected: tuple[int, ...]) -> None:
    flips = Flips(axes=axes, probability=1.0)
    volumes = torch.randn(MANY, 1, 2, 3, 4)
    assert torch.equal(flips(volumes, *flips.draw(samples(2, 3, 4))), volumes.flip(expected))


def test_masks_move_with_their_volumes() -> None:
    splits = ShapeVolumes(image_size=12, noise_std=0, train_size=16, valid_size=1, test_size=1).load()
    device = torch.device("cpu")
    settings = {"splits": splits, "device": device, "batch_size": 16, "randomness": Randomness(0)}
    volumes, masks = next(Data(**settings, augmentation=Flips()).train())  # type: ignore[arg-type]
    plain, as_they_are = next(Data(**settings).train())  # type: ignore[arg-type]
    assert not torch.equal(plain, volumes)
    assert not torch.equal(as_they_are, masks)
    assert torch.equal(volumes[:, 0] > volumes.min(), masks > 0)  # shapes are brighter than the background
    assert torch.equal(masks.flatten(1).sort(1).values, as_they_are.flatten(1).sort(1).values)


def test_depth_needs_volumes_and_volumes_need_flips() -> None:
    images, volumes = Spec(1, 8, 8, 2), MaskSpec(1, (8, 8, 8), 2)
    assert checked(Flips()).per_example is False
    check_changes(Flips(), images)
    check_changes(Flips(axes=["depth"]), volumes)
    with pytest.raises(ValueError, match=r"turns depth over, but the data are images; set augmentation\.axes"):
        check_changes(Flips(axes=["depth", "width"]), images)


@pytest.mark.parametrize("axes", [[], ["z"], ["width", "width"]])
def test_axes_that_mean_nothing_are_refused(axes: list[str]) -> None:
    with pytest.raises(ValueError, match=r"augmentation\.axes must be null or some of depth, height, width"):
        Flips(axes=axes)
    with pytest.raises(ValueError, match=r"augmentation\.probability must lie in \[0, 1\], got 2"):
        Flips(probability=2)
