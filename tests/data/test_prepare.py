"""From stored to model-ready batches."""

from __future__ import annotations

import torch

from runner.data.augment import CropFlip, Trivial
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


def test_training_batches_are_augmented_by_the_step() -> None:
    prepare = Prepare(MEAN, STD, augmentation=CropFlip(padding=2), randomness=SEED, device=CPU)
    one, again, two = (prepare.train((IMAGES, LABELS), step)[0] for step in (1, 1, 2))
    expected = CropFlip(padding=2)(IMAGES, SEED.generator("augment", 1))
    assert torch.equal(one, prepare.evaluate((expected,))[0])
    assert torch.equal(one, again)
    assert not torch.equal(one, two)


def test_what_workers_have_augmented_is_left() -> None:
    prepare = Prepare(MEAN, STD, augmentation=Trivial(), randomness=SEED, device=CPU)
    assert torch.equal(prepare.train((IMAGES,), 0)[0], prepare.evaluate((IMAGES,))[0])
