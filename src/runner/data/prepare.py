"""From stored batches to what models see: augmented, scaled, normalised, on the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from runner.data.augment import Augmentation, NoAugmentation
from runner.randomness import Randomness


class Prepare:
    """Works on the first tensor of a batch, images (B, C, H, W); the others pass untouched.

    uint8 images become float32 in [0, 1]; then (x - mean) / std per channel, where mean and std are given.
    """

    def __init__(
        self,
        mean: Sequence[float] | None,
        std: Sequence[float] | None,
        *,
        augmentation: Augmentation | None = None,
        randomness: Randomness,
        device: torch.device,
    ) -> None:
        self.augmentation: Augmentation = augmentation or NoAugmentation()
        self.randomness = randomness
        self.mean = torch.tensor(0.0 if mean is None else list(mean), device=device).view(-1, 1, 1)
        self.std = torch.tensor(1.0 if std is None else list(std), device=device).view(-1, 1, 1)
        self.mean_255, self.std_255 = 255 * self.mean, 255 * self.std
        self.identity = mean is None and std is None

    def train(self, batch: tuple[Tensor, ...], step: int) -> tuple[Tensor, ...]:
        """A training batch; what the augmentation draws is a function of (seed, step)."""
        images, *rest = batch
        if not self.augmentation.per_example:
            images = self.augmentation(images, self.randomness.generator("augment", step))
        return self.evaluate((images, *rest))

    def evaluate(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        images, *rest = batch
        if images.dtype == torch.uint8:
            # (x / 255 - mean) / std in two passes over the memory; the first also converts.
            return (images - self.mean_255).div_(self.std_255), *rest
        if self.identity:
            return batch
        return (images - self.mean).div_(self.std), *rest
