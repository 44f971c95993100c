"""From stored batches to what models see: augmented, scaled, normalised, on the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from runner.batch import Batch
from runner.data.augment import Augmentation, BatchAugmentation, NoAugmentation, Samples
from runner.data.source import IGNORED, AnySpec, MaskSpec
from runner.data.transfer import moved
from runner.randomness import Randomness

ALL = slice(None)


class Prepare:
    """Works on the first tensor of a batch, images (B, C, H, W); the others pass untouched, as do token ids (int64).

    So does a batch of which the first element is no tensor, whatever its nesting.

    uint8 images become float32 in [0, 1]; then (x - mean) / std per channel, where mean and std are given. With
    ``channels_last`` the channels of a pixel are neighbours in memory.

    Where the ``spec`` says that there are masks, the second tensor, they move as their images do and become int64. What
    moves in from outside of an image is background, or ``ignore_index`` where there is one.
    """

    def __init__(
        self,
        mean: Sequence[float] | None,
        std: Sequence[float] | None,
        *,
        spec: AnySpec | None = None,
        augmentation: Augmentation | None = None,
        randomness: Randomness,
        device: torch.device,
        channels_last: bool = False,
    ) -> None:
        if augmentation is None or augmentation.per_example:  # which is done where examples are read
            augmentation = NoAugmentation()
        self.augmentation = cast("BatchAugmentation", augmentation)
        self.masks = spec if isinstance(spec, MaskSpec) else None
        self.randomness = randomness
        beside = (1,) * (len(self.masks.image_size) if self.masks is not None else 2)
        self.mean = torch.tensor(0.0 if mean is None else list(mean), device=device).view(-1, *beside)
        self.std = torch.tensor(1.0 if std is None else list(std), device=device).view(-1, *beside)
        self.mean_255, self.std_255 = 255 * self.mean, 255 * self.std
        self.identity = mean is None and std is None
        layout = torch.channels_last_3d if len(beside) == 3 else torch.channels_last
        self.layout = layout if channels_last else torch.preserve_format

    def train(self, batch: Batch, step: int, *, epoch: int, indices: Tensor, rows: slice = ALL) -> Batch:
        """``rows`` of the training batch of ``indices``, which are the whole batch's.

        What the augmentation draws for a row is a function of (seed, step, epoch, indices), whatever ``rows`` are.
        """
        if not has_images(batch):
            return batch
        images, *rest = batch
        size = tuple(images.shape[2:])
        samples = Samples(indices=indices, step=step, epoch=epoch, image_size=size, randomness=self.randomness)
        draws = [moved(draw[rows], images.device) for draw in self.augmentation.draw(samples)]
        if self.masks is not None and getattr(self.augmentation, "geometric", False):
            rest[0] = self._moved_masks(rest[0], draws)
        return self.evaluate((self.augmentation(images, *draws), *rest))

    def evaluate(self, batch: Batch) -> Batch:
        if not has_images(batch):
            return batch
        images, *rest = batch
        if self.masks is not None:
            rest[0] = self._as_classes(rest[0])
        images = images.to(memory_format=self.layout)  # while a pixel has one byte
        if images.dtype == torch.uint8:
            # (x / 255 - mean) / std; converted first, which is quicker than in the subtraction, to the same bits.
            return images.float().sub_(self.mean_255).div_(self.std_255), *rest
        if self.identity:
            return images, *rest
        return (images - self.mean).div_(self.std), *rest

    def _moved_masks(self, masks: Tensor, draws: list[Tensor]) -> Tensor:
        """Masks (B, *S), changed as their images are. Augmentations fill with 0, so this is what the border gets."""
        border = 0
        if self.masks is not None and self.masks.ignore_index is not None:
            border = IGNORED if masks.dtype == torch.uint8 else self.masks.ignore_index
        return self.augmentation((masks - border).unsqueeze(1), *draws).squeeze(1) + border  # uint8 wraps around

    def _as_classes(self, masks: Tensor) -> Tensor:
        """int64; of uint8 the pixels that do not count are marked by ``ignore_index`` from here on."""
        classes = masks.long()
        if self.masks is None or self.masks.ignore_index is None or masks.dtype != torch.uint8:
            return classes
        return classes.masked_fill_(masks == IGNORED, self.masks.ignore_index)


def has_images(batch: Batch) -> bool:
    """Whether it is a tuple that begins with a tensor other than token ids (int64)."""
    first = batch[0] if isinstance(batch, tuple) and batch else None
    return isinstance(first, Tensor) and first.dtype != torch.int64
