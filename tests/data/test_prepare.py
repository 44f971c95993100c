"""From stored to model-ready batches."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from runner.data.augment import CropFlip, Samples, Trivial
from runner.data.prepare import Prepare
from runner.randomness import Randomness

CPU = torch.device("cpu")
SEED = Randomness(0)
IMAGES = torch.randint(0, 256, (8, 3, 6, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(8)
MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.3, 0.1]


def normalised(images: torch.Tensor) -> torch.Tensor:
    """In float64, as the definition says."""
    mean, std = torch.tensor(MEAN).double().view(3, 1, 1), torch.tensor(STD).double().view(3, 1, 1)
    return (images.double() / 255 - mean) / std


def test_uint8_is_scaled_and_normalised_and_labels_pass() -> None:
    prepare = Prepare(MEAN, STD, randomness=SEED, device=CPU)
    before = IMAGES.clone()
    images, labels = prepare.evaluate((IMAGES, LABELS))
    torch.testing.assert_close(images, normalised(IMAGES).float(), rtol=1e-5, atol=1e-5)
    assert images.dtype == torch.float32
    assert labels is LABELS
    assert torch.equal(IMAGES, before)


def test_without_statistics_pixels_are_only_scaled_and_floats_pass() -> None:
    prepare = Prepare(None, None, randomness=SEED, device=CPU)
    torch.testing.assert_close(prepare.evaluate((IMAGES,))[0], IMAGES.float() / 255)
    floats = IMAGES.float()
    assert prepare.evaluate((floats,))[0] is floats


def test_floats_are_normalised_as_they_are() -> None:
    images = Prepare(MEAN, STD, randomness=SEED, device=CPU).evaluate((IMAGES.float() / 255,))[0]
    torch.testing.assert_close(images, normalised(IMAGES).float(), rtol=1e-5, atol=1e-5)


def place(step: int, epoch: int = 0) -> Samples:
    return Samples(indices=LABELS, step=step, epoch=epoch, image_size=(6, 6), randomness=SEED)


def test_training_batches_are_augmented_by_the_step() -> None:
    prepare = Prepare(MEAN, STD, augmentation=CropFlip(padding=2), randomness=SEED, device=CPU)
    one, again, two = (prepare.train((IMAGES, LABELS), step, epoch=0, indices=LABELS)[0] for step in (1, 1, 2))
    expected = CropFlip(padding=2)(IMAGES, *CropFlip(padding=2).draw(place(1)))
    assert torch.equal(one, prepare.evaluate((expected,))[0])
    assert torch.equal(one, again)
    assert not torch.equal(one, two)


@pytest.mark.parametrize("rows", [slice(0, 3), slice(3, 8), slice(None)])
@pytest.mark.parametrize("flip", ["random", "alternating"])
def test_rows_of_a_batch_are_those_of_the_whole(rows: slice, flip: str) -> None:
    prepare = Prepare(MEAN, STD, augmentation=CropFlip(padding=2, flip=flip), randomness=SEED, device=CPU)
    whole = prepare.train((IMAGES, LABELS), 1, epoch=1, indices=LABELS)
    part = prepare.train((IMAGES[rows], LABELS[rows]), 1, epoch=1, indices=LABELS, rows=rows)
    assert all(torch.equal(a, b[rows]) for a, b in zip(part, whole, strict=True))


def test_what_workers_have_augmented_is_left() -> None:
    prepare = Prepare(MEAN, STD, augmentation=Trivial(), randomness=SEED, device=CPU)
    assert torch.equal(prepare.train((IMAGES,), 0, epoch=0, indices=LABELS)[0], prepare.evaluate((IMAGES,))[0])


@pytest.mark.parametrize("images", [IMAGES, IMAGES.float() / 255])
@pytest.mark.parametrize("statistics", [(MEAN, STD), (None, None)])
def test_channels_last_is_a_layout_and_changes_no_value(images: torch.Tensor, statistics: tuple[Any, Any]) -> None:
    plain, last = (
        Prepare(*statistics, randomness=SEED, device=CPU, channels_last=channels_last).evaluate((images,))[0]
        for channels_last in (False, True)
    )
    assert plain.is_contiguous()
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert not last.is_contiguous()
    assert torch.equal(plain, last)
