"""Augmentations: pure functions of (images, generator).

Those with ``per_example = False`` work on whole batches (B, C, H, W) where the batch is, with parameters
drawn for each sample from a CPU generator, so that every device sees the same draws. The others work on one
image (C, H, W) at a time, in the workers that read streamed data.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from runner.data.draws import seeded
from runner.data.resident import moved


class Augmentation(Protocol):
    @property
    def per_example(self) -> bool: ...

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """The changed images: same shape, type and device."""
        ...


@dataclass(frozen=True)
class NoAugmentation:
    per_example: ClassVar[bool] = False

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        return images


@dataclass(frozen=True, kw_only=True)
class CropFlip:
    """A random crop of the image padded with zeros, then a flip about the vertical axis, per sample.

    The standard CIFAR augmentation (Lee et al., "Deeply-supervised nets", 2015).
    """

    padding: int = 4  # pixels on each side
    flip_probability: float = 0.5
    per_example: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.padding < 0:
            raise ValueError(f"augmentation.padding must be at least 0, got {self.padding}; set augmentation.padding=4")
        if not 0 <= self.flip_probability <= 1:
            raise ValueError(
                f"augmentation.flip_probability must lie in [0, 1], got {self.flip_probability}; "
                "set augmentation.flip_probability=0.5"
            )

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        batch, channels, height, width = images.shape
        offsets = torch.randint(0, 2 * self.padding + 1, (2, batch, 1), generator=generator)
        flips = torch.rand(batch, 1, generator=generator) < self.flip_probability
        rows = torch.arange(height) + offsets[0]  # (B, H)
        columns = torch.arange(width)
        columns = torch.where(flips, width - 1 - columns, columns) + offsets[1]  # (B, W)
        rows, columns = moved(rows, images.device), moved(columns, images.device)
        pixels = rows[:, :, None] * (width + 2 * self.padding) + columns[:, None, :]  # (B, H, W)
        padded = F.pad(images, (self.padding,) * 4).flatten(2)
        index = pixels.view(batch, 1, -1).expand(-1, channels, -1)
        return padded.gather(2, index).view(images.shape)


@dataclass(frozen=True, kw_only=True)
class Cutout:
    """A square of ``size`` pixels about a random pixel of each sample, cut at the border, becomes ``fill``.

    DeVries and Taylor, "Improved regularization of convolutional neural networks with cutout" (2017).
    """

    size: int = 8  # pixels
    fill: float = 0.0  # in the images' own unit: 0..255 for uint8
    per_example: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"augmentation.size must be at least 1 pixel, got {self.size}; set augmentation.size=8")

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        batch, _, height, width = images.shape
        top = torch.randint(0, height, (batch, 1), generator=generator) - self.size // 2
        left = torch.randint(0, width, (batch, 1), generator=generator) - self.size // 2
        rows, columns = torch.arange(height), torch.arange(width)
        rows_in = moved((rows >= top) & (rows < top + self.size), images.device)
        columns_in = moved((columns >= left) & (columns < left + self.size), images.device)
        return images.masked_fill((rows_in[:, :, None] & columns_in[:, None, :])[:, None], self.fill)


@dataclass(frozen=True, kw_only=True)
class Trivial:
    """torchvision's TrivialAugmentWide on one uint8 image (C, H, W), in the workers of streamed data.

    Müller and Hutter, "TrivialAugment: tuning-free yet state-of-the-art data augmentation" (2021).
    """

    num_magnitude_bins: int = 31
    per_example: ClassVar[bool] = True

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        transform = _trivial_augment(self.num_magnitude_bins)
        with seeded(int(torch.randint(2**62, (), generator=generator))):  # it draws from torch's default generator
            changed: Tensor = transform(images)
        return changed


@cache
def _trivial_augment(num_magnitude_bins: int) -> Any:
    from torchvision.transforms.v2 import TrivialAugmentWide

    return TrivialAugmentWide(num_magnitude_bins=num_magnitude_bins)
