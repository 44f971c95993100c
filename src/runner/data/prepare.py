"""From stored batches to what models see: augmented, scaled, normalised, on the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from runner.data.augment import Augmentation, BatchAugmentation, NoAugmentation, Samples
from runner.data.transfer import moved
from runner.randomness import Randomness

ALL = slice(None)


class Prepare:
    """Works on the first tensor of a batch, images (B, C, H, W); the others pass untouched, as do token ids (int64).

    uint8 images become float32 in [0, 1]; then (x - mean) / std per channel, where mean and std are given. With
    ``channels_last`` the channels of a pixel are neighbours in memory.
    """

    def __init__(
        self,
        mean: Sequence[float] | None,
        std: Sequence[float] | None,
        *,
        augmentation: Augmentation | None = None,
        randomness: Randomness,
        device: torch.device,
        channels_last: bool = False,
    ) -> None:
        if augmentation is None or augmentation.per_example:  # which is done where examples are read
            augmentation = NoAugmentation()
        self.augmentation = cast("BatchAugmentation", augmentation)
        self.randomness = randomness
        self.mean = torch.tensor(0.0 if mean is None else list(mean), device=device).view(-1, 1, 1)
        self.std = torch.tensor(1.0 if std is None else list(std), device=device).view(-1, 1, 1)
        self.mean_255, self.std_255 = 255 * self.mean, 255 * self.std
        self.identity = mean is None and std is None
        self.layout = torch.channels_last if channels_last else torch.preserve_format

    def train(
        self, batch: tuple[Tensor, ...], step: int, *, epoch: int, indices: Tensor, rows: slice = ALL
    ) -> tuple[Tensor, ...]:
        """``rows`` of the training batch of ``indices``, which are the whole batch's.

        What the augmentation draws for a row is a function of (seed, step, epoch, indices), whatever ``rows`` are.
        """
        images, *rest = batch
        size = tuple(images.shape[2:])
        samples = Samples(indices=indices, step=step, epoch=epoch, image_size=size, randomness=self.randomness)
        draws = [moved(draw[rows], images.device) for draw in self.augmentation.draw(samples)]
        return self.evaluate((self.augmentation(images, *draws), *rest))

    def evaluate(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        images, *rest = batch
        if images.dtype == torch.int64:
            return batch
        images = images.to(memory_format=self.layout)  # while a pixel has one byte
        if images.dtype == torch.uint8:
            # (x / 255 - mean) / std; converted first, which is quicker than in the subtraction, to the same bits.
            return images.float().sub_(self.mean_255).div_(self.std_255), *rest
        if self.identity:
            return images, *rest
        return (images - self.mean).div_(self.std), *rest
