"""Each batch-wise augmentation against a reference that treats one sample at a time, exactly."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from runner.data.augment import Augmentation, CropFlip, Cutout, NoAugmentation, Trivial

SHAPES = [(64, 3, 8, 8), (64, 1, 5, 9)]
TYPES = [torch.uint8, torch.float32]


def images_of(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.randint(1, 256, shape, generator=generator(3)).to(dtype)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def crop_flip_one(image: Tensor, *, padding: int, top: int, left: int, flip: bool) -> Tensor:
    _, height, width = image.shape
    cropped = F.pad(image, (padding,) * 4)[:, top : top + height, left : left + width]
    return cropped.flip(2) if flip else cropped


def cutout_one(image: Tensor, *, size: int, row: int, column: int, fill: float) -> Tensor:
    image = image.clone()
    top, left = row - size // 2, column - size // 2
    image[:, max(top, 0) : max(top + size, 0), max(left, 0) : max(left + size, 0)] = fill
    return image


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("padding", [0, 1, 4])
def test_crop_flip_is_the_reference(shape: tuple[int, ...], dtype: torch.dtype, padding: int) -> None:
    images, draws = images_of(shape, dtype), generator()
    tops, lefts = torch.randint(0, 2 * padding + 1, (2, shape[0], 1), generator=draws).flatten(1).tolist()
    flips = (torch.rand(shape[0], 1, generator=draws) < 0.5).flatten().tolist()
    assert {True, False} == set(flips)
    expected = [
        crop_flip_one(image, padding=padding, top=top, left=left, flip=flip)
        for image, top, left, flip in zip(images, tops, lefts, flips, strict=True)
    ]
    changed = CropFlip(padding=padding)(images, generator())
    assert changed.dtype == dtype
    assert torch.equal(changed, torch.stack(expected))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("size", "fill"), [(1, 0), (3, 7), (4, 0), (30, 0)])
def test_cutout_is_the_reference(shape: tuple[int, ...], dtype: torch.dtype, size: int, fill: float) -> None:
    images, draws = images_of(shape, dtype), generator()
    rows = torch.randint(0, shape[2], (shape[0], 1), generator=draws).flatten().tolist()
    columns = torch.randint(0, shape[3], (shape[0], 1), generator=draws).flatten().tolist()
    expected = [
        cutout_one(image, size=size, row=row, column=column, fill=fill)
        for image, row, column in zip(images, rows, columns, strict=True)
    ]
    assert torch.equal(Cutout(size=size, fill=fill)(images, generator()), torch.stack(expected))


def test_flip_probability_is_honoured() -> None:
    images = images_of((16, 1, 4, 4), torch.uint8)
    assert torch.equal(CropFlip(padding=0, flip_probability=0)(images, generator()), images)
    assert torch.equal(CropFlip(padding=0, flip_probability=1)(images, generator()), images.flip(3))


@pytest.mark.parametrize("augmentation", [CropFlip(), Cutout(), Trivial()])
def test_pure_functions_of_images_and_generator(augmentation: Augmentation) -> None:
    images = images_of((3, 8, 8) if augmentation.per_example else (16, 3, 8, 8), torch.uint8)
    before, state = images.clone(), torch.get_rng_state()
    outputs = [augmentation(images, generator(seed)) for seed in range(20)]
    assert all(torch.equal(out, augmentation(images, generator(seed))) for seed, out in enumerate(outputs))
    assert any(not torch.equal(outputs[0], out) for out in outputs[1:])
    assert torch.equal(images, before)
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
    assert NoAugmentation()(images, generator()) is images


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"padding": -1}, r"augmentation\.padding must be at least 0, got -1"),
        ({"flip_probability": 1.5}, r"augmentation\.flip_probability must lie in \[0, 1\], got 1\.5"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CropFlip(**settings)
    with pytest.raises(ValueError, match=r"augmentation\.size must be at least 1"):
        Cutout(size=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("augmentation", [CropFlip(), Cutout()])
def test_the_gpu_sees_the_same_draws(augmentation: Augmentation) -> None:
    images = images_of((64, 3, 8, 8), torch.uint8)
    assert torch.equal(augmentation(images.cuda(), generator()).cpu(), augmentation(images, generator()))
