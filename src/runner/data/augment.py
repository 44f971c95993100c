"""Random changes to training images.

Those with ``per_example = False`` work on whole batches (B, C, H, W) where the batch is, in two parts: ``draw`` says
what happens to each sample, on the CPU, so that every device sees the same draws; the call does it, and draws nothing.
The others work on one image (C, H, W) at a time, in the workers that read streamed data.

Two attributes say where an augmentation may be used besides images alone: ``geometric``, whether it moves pixels, those
of a mask along with them; and ``volumes``, whether it takes (B, C, D, H, W), too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from runner.data.draws import seeded
from runner.data.source import AnySpec, MaskSpec, PairSpec
from runner.randomness import Randomness

FLIPS = ("random", "alternating")
PADDINGS = ("zeros", "reflect")


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Which samples a training batch holds, and when: all that an augmentation may depend on."""

    indices: Tensor  # (B,) int64 on the CPU: places in the training part
    step: int  # updates completed before this batch
    epoch: int  # passes completed before this batch
    image_size: tuple[int, ...]  # height, width in pixels
    randomness: Randomness

    def __len__(self) -> int:
        return len(self.indices)

    def generator(self) -> torch.Generator:
        """A fresh CPU generator that belongs to (seed, step)."""
        return self.randomness.generator("augment", self.step)

    def uniform(self, purpose: str) -> Tensor:
        """Numbers in [0, 1) (B,), float64, that belong to (seed, purpose, sample) and stay with it from epoch to epoch.

        The finaliser of SplitMix64 (Steele et al., "Fast splittable pseudorandom number generators", 2014): int64
        arithmetic wraps, and ``>>`` copies the sign, which the mask takes off.
        """
        bits = self.indices * -0x61C8864680B583EB + self.randomness.key(purpose)
        bits = (bits ^ ((bits >> 30) & 0x3FFFFFFFF)) * -0x40A7B892E31B1A47
        bits = (bits ^ ((bits >> 27) & 0x1FFFFFFFFF)) * -0x6B2FB644ECCEEE15
        bits = bits ^ ((bits >> 31) & 0x1FFFFFFFF)
        return ((bits >> 11) & 0x1FFFFFFFFFFFFF).double() / 2**53


class BatchAugmentation(Protocol):
    """Changes all images of a batch at once."""

    @property
    def per_example(self) -> bool:
        """False."""
        ...

    def draw(self, samples: Samples) -> tuple[Tensor, ...]:
        """What happens to each sample: tensors (B, …) on the CPU. A row depends on its own sample only."""
        ...

    def __call__(self, images: Tensor, *draws: Tensor) -> Tensor:
        """The changed images: same shape, type and device. ``draws`` are there, too; nothing else is drawn."""
        ...


class ExampleAugmentation(Protocol):
    """Changes one image at a time."""

    @property
    def per_example(self) -> bool:
        """True."""
        ...

    def __call__(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """The changed image: same shape and type."""
        ...


Augmentation = BatchAugmentation | ExampleAugmentation


def checked(augmentation: Any) -> Augmentation:
    """``augmentation`` itself. Raises ``ValueError`` for what lacks a part of one."""
    parts = ("per_example",) if getattr(augmentation, "per_example", False) else ("per_example", "draw")
    missing = [part for part in parts if not hasattr(augmentation, part)]
    if missing or not callable(augmentation):
        raise ValueError(
            f"{type(augmentation).__name__} is no augmentation: it needs per_example, a call on images, "
            f"and draw(samples) unless per_example is true; it lacks {', '.join(missing) or 'the call'}"
        )
    made: Augmentation = augmentation
    return made


def check_changes(augmentation: Augmentation, spec: AnySpec) -> None:
    """Raises ``ValueError`` for one that would change what is no image, or an image without its mask."""
    if isinstance(augmentation, NoAugmentation):
        return
    name = type(augmentation).__name__
    if spec.kind not in ("images", PairSpec.kind, MaskSpec.kind):
        raise ValueError(f"{name} changes images, but the data are {spec.kind}; set augmentation=none")
    if getattr(augmentation, "needs_volumes", False) and len(getattr(spec, "image_size", ())) != 3:
        raise ValueError(f"{name} turns depth over, but the data are {spec.kind}; set augmentation.axes=[height,width]")
    if not isinstance(spec, MaskSpec):
        return
    if len(spec.image_size) == 3 and not getattr(augmentation, "volumes", False):
        raise ValueError(f"{name} changes images, but the data are volumes; set augmentation=flips or none")
    geometric = getattr(augmentation, "geometric", None)
    if geometric is None:
        raise ValueError(f"{name} does not say whether it moves pixels; give it an attribute geometric, True or False")
    if geometric and augmentation.per_example:
        raise ValueError(
            f"{name} moves the pixels of one image at a time and leaves its mask behind; "
            "set augmentation=crop_flip, flips, cutout or none"
        )


@dataclass(frozen=True)
class NoAugmentation:
    per_example: ClassVar[bool] = False
    geometric: ClassVar[bool] = False

    def draw(self, samples: Samples) -> tuple[Tensor, ...]:  # noqa: ARG002
        return ()

    def __call__(self, images: Tensor, *draws: Tensor) -> Tensor:  # noqa: ARG002
        return images


@dataclass(frozen=True, kw_only=True)
class CropFlip:
    """A random crop of the padded image, then a flip about the vertical axis, per sample.

    The standard CIFAR augmentation (Lee et al., "Deeply-supervised nets", 2015). ``padding_mode``: "zeros", or
    "reflect", where the image goes on mirrored at its outermost pixels. ``flip``: "random" draws at each step;
    "alternating" draws once for each sample, and turns it over in every epoch, so that two epochs in a row show both
    sides of each image (Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024).
    """

    padding: int = 4  # pixels on each side
    padding_mode: str = "zeros"
    flip: str = "random"
    flip_probability: float = 0.5  # alternating: the share that is flipped in the first epoch
    per_example: ClassVar[bool] = False
    geometric: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.padding < 0:
            raise ValueError(f"augmentation.padding must be at least 0, got {self.padding}; set augmentation.padding=4")
        if self.padding_mode not in PADDINGS:
            raise ValueError(
                f"augmentation.padding_mode must be one of {', '.join(PADDINGS)}, got {self.padding_mode!r}; "
                "set augmentation.padding_mode=zeros"
            )
        if self.flip not in FLIPS:
            raise ValueError(
                f"augmentation.flip must be one of {', '.join(FLIPS)}, got {self.flip!r}; set augmentation.flip=random"
            )
        if not 0 <= self.flip_probability <= 1:
            raise ValueError(
                f"augmentation.flip_probability must lie in [0, 1], got {self.flip_probability}; "
                "set augmentation.flip_probability=0.5"
            )

    def draw(self, samples: Samples) -> tuple[Tensor, ...]:
        """Which row (B, H) and column (B, W) a pixel comes from: of the padded image, with "reflect" of the image."""
        (height, width), generator = samples.image_size, samples.generator()
        offsets = torch.randint(0, 2 * self.padding + 1, (2, len(samples), 1), generator=generator)
        if self.flip == "alternating":
            flips = (samples.uniform("flip") < self.flip_probability)[:, None] ^ bool(samples.epoch % 2)
        else:
            flips = torch.rand(len(samples), 1, generator=generator) < self.flip_probability
        columns = torch.arange(width)
        columns = torch.where(flips, width - 1 - columns, columns)
        rows, columns = torch.arange(height) + offsets[0], columns + offsets[1]
        if self.padding_mode == "reflect":
            return _reflected(rows - self.padding, height), _reflected(columns - self.padding, width)
        return rows, columns

    def __call__(self, images: Tensor, *draws: Tensor) -> Tensor:
        rows, columns = draws
        batch, channels, _, width = images.shape
        border = 0 if self.padding_mode == "reflect" else self.padding
        pixels = rows[:, :, None] * (width + 2 * border) + columns[:, None, :]  # (B, H, W)
        padded = F.pad(images, (border,) * 4).flatten(2)
        index = pixels.view(batch, 1, -1).expand(-1, channels, -1)
        return padded.gather(2, index).view(images.shape)


def _reflected(places: Tensor, size: int) -> Tensor:
    """Places outside of ``range(size)`` folded back into it, at the first place and at the last."""
    period = max(2 * (size - 1), 1)
    folded = places.remainder(period)
    return torch.minimum(folded, period - folded)


@dataclass(frozen=True, kw_only=True)
class Cutout:
    """A square of ``size`` pixels about a random pixel of each sample, cut at the border, becomes ``fill``.

    DeVries and Taylor, "Improved regularization of convolutional neural networks with cutout" (2017).
    """

    size: int = 8  # pixels
    fill: float = 0.0  # in the images' own unit: 0..255 for uint8
    per_example: ClassVar[bool] = False
    geometric: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"augmentation.size must be at least 1 pixel, got {self.size}; set augmentation.size=8")

    def draw(self, samples: Samples) -> tuple[Tensor, ...]:
        """Whether each row (B, H) and each column (B, W) crosses the square."""
        (height, width), generator = samples.image_size, samples.generator()
        top = torch.randint(0, height, (len(samples), 1), generator=generator) - self.size // 2
        left = torch.randint(0, width, (len(samples), 1), generator=generator) - self.size // 2
        rows, columns = torch.arange(height), torch.arange(width)
        return (rows >= top) & (rows < top + self.size), (columns >= left) & (columns < left + self.size)

    def __call__(self, images: Tensor, *draws: Tensor) -> Tensor:
        rows, columns = draws
        return images.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], self.fill)


@dataclass(frozen=True, kw_only=True)
class Trivial:
    """torchvision's TrivialAugmentWide on one uint8 image (C, H, W), in the workers of streamed data.

    Müller and Hutter, "TrivialAugment: tuning-free yet state-of-the-art data augmentation" (2021).
    """

    num_magnitude_bins: int = 31
    per_example: ClassVar[bool] = True
    geometric: ClassVar[bool] = True

    def __call__(self, image: Tensor, generator: torch.Generator) -> Tensor:
        transform = _trivial_augment(self.num_magnitude_bins)
        with seeded(int(torch.randint(2**62, (), generator=generator))):  # it draws from torch's default generator
            changed: Tensor = transform(image)
        return changed


@cache
def _trivial_augment(num_magnitude_bins: int) -> Any:
    from torchvision.transforms.v2 import TrivialAugmentWide

    return TrivialAugmentWide(num_magnitude_bins=num_magnitude_bins)
