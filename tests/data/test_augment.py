"""Each batch-wise augmentation against a reference that treats one sample at a time, exactly."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from runner.data.augment import BatchAugmentation, CropFlip, Cutout, NoAugmentation, Samples, Trivial, checked
from runner.randomness import Randomness

SHAPES = [(64, 3, 8, 8), (64, 1, 5, 9)]
TYPES = [torch.uint8, torch.float32]


def images_of(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.randint(1, 256, shape, generator=generator(3)).to(dtype)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def samples(
    count: int, image_size: tuple[int, ...], *, first: int = 0, step: int = 0, epoch: int = 0, seed: int = 0
) -> Samples:
    indices = torch.arange(first, first + count)
    return Samples(indices=indices, step=step, epoch=epoch, image_size=image_size, randomness=Randomness(seed))


def augmented(augmentation: BatchAugmentation, images: Tensor, **place: int) -> Tensor:
    return augmentation(images, *augmentation.draw(samples(len(images), images.shape[2:], **place)))


def crop_flip_one(image: Tensor, *, padding: int, top: int, left: int, flip: bool) -> Tensor:
    _, height, width = image.shape
    cropped = F.pad(image, (padding,) * 4)[:, top : top + height, left : left + width]
    return cropped.flip(2) if flip else cropped


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_reflected_border_is_torchs(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    images = images_of(shape, dtype)
    padding = 4
    wide = F.pad(images.float(), (padding,) * 4, mode="reflect").to(dtype)  # of bytes torch has none
    tops, lefts = torch.randint(0, 9, (2, shape[0], 1), generator=Randomness(0).generator("augment", 0)).flatten(1)
    expected = [
        image[:, top : top + shape[2], left : left + shape[3]]
        for image, top, left in zip(wide, tops.tolist(), lefts.tolist(), strict=True)
    ]
    changed = augmented(CropFlip(padding=padding, padding_mode="reflect", flip_probability=0), images)
    assert changed.dtype == dtype
    assert torch.equal(changed, torch.stack(expected))
    assert not torch.equal(changed, augmented(CropFlip(padding=padding, flip_probability=0), images))


@pytest.mark.parametrize("side", [1, 2, 3])
def test_a_wide_border_reflects_again(side: int) -> None:
    images, padding = images_of((64, 1, side, side), torch.uint8), 5
    wide = torch.from_numpy(np.pad(images.numpy(), ((0, 0), (0, 0), (padding,) * 2, (padding,) * 2), mode="reflect"))
    draws = Randomness(0).generator("augment", 0)
    tops, lefts = torch.randint(0, 2 * padding + 1, (2, 64, 1), generator=draws).flatten(1).tolist()
    crop_flip = CropFlip(padding=padding, padding_mode="reflect", flip_probability=0)
    expected = [
        image[:, top : top + side, left : left + side] for image, top, left in zip(wide, tops, lefts, strict=True)
    ]
    assert torch.equal(augmented(crop_flip, images), torch.stack(expected))


def cutout_one(image: Tensor, *, size: int, row: int, column: int, fill: float) -> Tensor:
    image = image.clone()
    top, left = row - size // 2, column - size // 2
    image[:, max(top, 0) : max(top + size, 0), max(left, 0) : max(left + size, 0)] = fill
    return image


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("padding", [0, 1, 4])
def test_crop_flip_is_the_reference(shape: tuple[int, ...], dtype: torch.dtype, padding: int) -> None:
    images, draws = images_of(shape, dtype), Randomness(0).generator("augment", 0)
    tops, lefts = torch.randint(0, 2 * padding + 1, (2, shape[0], 1), generator=draws).flatten(1).tolist()
    flips = (torch.rand(shape[0], 1, generator=draws) < 0.5).flatten().tolist()
    assert {True, False} == set(flips)
    expected = [
        crop_flip_one(image, padding=padding, top=top, left=left, flip=flip)
        for image, top, left, flip in zip(images, tops, lefts, flips, strict=True)
    ]
    changed = augmented(CropFlip(padding=padding), images)
    assert changed.dtype == dtype
    assert torch.equal(changed, torch.stack(expected))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("size", "fill"), [(1, 0), (3, 7), (4, 0), (30, 0)])
def test_cutout_is_the_reference(shape: tuple[int, ...], dtype: torch.dtype, size: int, fill: float) -> None:
    images, draws = images_of(shape, dtype), Randomness(0).generator("augment", 0)
    rows = torch.randint(0, shape[2], (shape[0], 1), generator=draws).flatten().tolist()
    columns = torch.randint(0, shape[3], (shape[0], 1), generator=draws).flatten().tolist()
    expected = [
        cutout_one(image, size=size, row=row, column=column, fill=fill)
        for image, row, column in zip(images, rows, columns, strict=True)
    ]
    assert torch.equal(augmented(Cutout(size=size, fill=fill), images), torch.stack(expected))


def test_flip_probability_is_honoured() -> None:
    images = images_of((16, 1, 4, 4), torch.uint8)
    assert torch.equal(augmented(CropFlip(padding=0, flip_probability=0), images), images)
    assert torch.equal(augmented(CropFlip(padding=0, flip_probability=1), images), images.flip(3))


def splitmix64(state: int) -> int:
    """The reference, in Python's unbounded integers."""
    bits = state % 2**64
    bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EB % 2**64
    return bits ^ (bits >> 31)


def test_a_samples_number_is_splitmix64() -> None:
    place = samples(2000, (4, 4))
    key = Randomness(0).key("flip")
    expected = [(splitmix64(key + index * 0x9E3779B97F4A7C15) >> 11) / 2**53 for index in range(2000)]
    assert place.uniform("flip").tolist() == expected
    assert 0.48 < torch.tensor(expected).mean() < 0.52


@pytest.mark.parametrize("probability", [0.5, 0.2])
def test_alternating_flips_are_the_reference(probability: float) -> None:
    """Each sample keeps its coin, and the epoch turns it over; steps and places in the batch do not matter."""
    images = images_of((64, 3, 5, 9), torch.uint8)
    crop_flip = CropFlip(padding=0, flip="alternating", flip_probability=probability)
    key = Randomness(7).key("flip")
    coins = [splitmix64(key + index * 0x9E3779B97F4A7C15) / 2**64 < probability for index in range(100, 164)]
    assert {True, False} == set(coins)
    for epoch in range(4):
        expected = [
            image.flip(2) if coin != bool(epoch % 2) else image for image, coin in zip(images, coins, strict=True)
        ]
        for step in (3, 4):
            changed = augmented(crop_flip, images, first=100, step=step, epoch=epoch, seed=7)
            assert torch.equal(changed, torch.stack(expected))
    tail = augmented(crop_flip, images[10:], first=110, seed=7)
    assert torch.equal(tail, augmented(crop_flip, images, first=100, seed=7)[10:])
    assert not torch.equal(tail, augmented(crop_flip, images[10:], first=110, seed=8))


def test_crops_go_on_drawing_under_alternating_flips() -> None:
    images = images_of((64, 3, 8, 8), torch.uint8)
    one, two = (augmented(CropFlip(flip="alternating", flip_probability=0), images, step=step) for step in (0, 1))
    assert torch.equal(one, augmented(CropFlip(flip_probability=0), images, step=0))
    assert not torch.equal(one, two)


@pytest.mark.parametrize(
    "augmentation", [CropFlip(), CropFlip(flip="alternating"), CropFlip(padding_mode="reflect"), Cutout()]
)
def test_pure_functions_of_seed_step_and_samples(augmentation: BatchAugmentation) -> None:
    images = images_of((16, 3, 8, 8), torch.uint8)
    before, state = images.clone(), torch.get_rng_state()
    outputs = [augmented(augmentation, images, step=step) for step in range(20)]
    assert all(torch.equal(out, augmented(augmentation, images, step=step)) for step, out in enumerate(outputs))
    assert any(not torch.equal(outputs[0], out) for out in outputs[1:])
    assert not torch.equal(outputs[0], augmented(augmentation, images, seed=1))
    assert torch.equal(images, before)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("augmentation", [CropFlip(), CropFlip(flip="alternating"), Cutout(), NoAugmentation()])
def test_a_row_of_the_draws_belongs_to_its_sample(augmentation: BatchAugmentation) -> None:
    images = images_of((16, 3, 8, 8), torch.uint8)
    draws = augmentation.draw(samples(16, (8, 8)))
    assert all(len(draw) == 16 and draw.is_cpu for draw in draws)
    part = augmentation(images[4:9], *(draw[4:9] for draw in draws))
    assert torch.equal(part, augmentation(images, *draws)[4:9])


def test_trivial_is_a_pure_function_of_image_and_generator() -> None:
    image, state = images_of((3, 8, 8), torch.uint8), torch.get_rng_state()
    before = image.clone()
    outputs = [Trivial()(image, generator(seed)) for seed in range(20)]
    assert all(torch.equal(out, Trivial()(image, generator(seed))) for seed, out in enumerate(outputs))
    assert any(not torch.equal(outputs[0], out) for out in outputs[1:])
    assert torch.equal(image, before)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("channels", [1, 3])
def test_trivial_is_torchvisions(channels: int) -> None:
    from torchvision.transforms.v2 import TrivialAugmentWide

    image = images_of((channels, 12, 12), torch.uint8)
    for seed in range(30):
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator(seed))))
        assert torch.equal(Trivial()(image, generator(seed)), TrivialAugmentWide()(image))


def test_no_augmentation_is_the_identity() -> None:
    images = images_of((4, 1, 2, 2), torch.uint8)
    assert augmented(NoAugmentation(), images) is images


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"padding": -1}, r"augmentation\.padding must be at least 0, got -1"),
        ({"padding_mode": "edge"}, r"augmentation\.padding_mode must be one of zeros, reflect, got 'edge'"),
        ({"flip": "sometimes"}, r"augmentation\.flip must be one of random, alternating, got 'sometimes'"),
        ({"flip_probability": 1.5}, r"augmentation\.flip_probability must lie in \[0, 1\], got 1\.5"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CropFlip(**settings)
    with pytest.raises(ValueError, match=r"augmentation\.size must be at least 1"):
        Cutout(size=0)


@pytest.mark.parametrize(
    ("augmentation", "lacking"),
    [
        (len, "per_example, draw"),
        (SimpleNamespace(per_example=False, draw=len), "the call"),
        (SimpleNamespace(per_example=True), "the call"),
        (torch.nn.Identity(), "per_example, draw"),
    ],
)
def test_what_is_no_augmentation_is_refused(augmentation: Any, lacking: str) -> None:
    with pytest.raises(ValueError, match=f"is no augmentation: .* it lacks {lacking}$"):
        checked(augmentation)


@pytest.mark.parametrize("augmentation", [NoAugmentation(), CropFlip(), Cutout(), Trivial()])
def test_ours_are_augmentations(augmentation: Any) -> None:
    assert checked(augmentation) is augmentation


@pytest.mark.gpu
@pytest.mark.parametrize(
    "augmentation", [CropFlip(), CropFlip(flip="alternating"), CropFlip(padding_mode="reflect"), Cutout()]
)
def test_the_gpu_gives_the_same_images(augmentation: BatchAugmentation) -> None:
    images = images_of((64, 3, 8, 8), torch.uint8)
    draws = augmentation.draw(samples(64, (8, 8)))
    there = augmentation(images.cuda(), *(draw.cuda() for draw in draws))
    assert torch.equal(there.cpu(), augmentation(images, *draws))
