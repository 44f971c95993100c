"""Made-up images of which the class of each pixel is known: discs, squares and triangles in noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.data.source import Arrays, MaskSpec, Problem, Splits
from runner.data.sources.settings import (
    ImageSize,
    Statistics,
    image_size_problems,
    number_problems,
    require_none,
    size_or,
    statistics_problems,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor

CLASSES = ("background", "disc", "square", "triangle")
_MOST = 3  # shapes in an image, and at least one
_SMALLEST = 16  # pixels of an image: smaller discs are squares
_AT_ONCE = 256  # images: distances of more would take gigabytes


@dataclass(frozen=True, kw_only=True)
class ShapesMasks:
    """One to three shapes of random place, size and brightness, which does not tell the class; none hides another.

    ``noise_std`` is that of each pixel, of 255. ``seed`` is the data's own, not the run's.
    """

    image_size: ImageSize = 64
    channels: int = 1
    noise_std: float = 20.0
    train_size: int = 1000
    valid_size: int = 200
    test_size: int = 200
    seed: int = 0
    mean: Statistics = None  # None: computed from the training part
    std: Statistics = None

    @property
    def spec(self) -> MaskSpec:
        return MaskSpec(channels=self.channels, image_size=size_or(self.image_size, (64, 64)), num_classes=len(CLASSES))

    def problems(self) -> list[Problem]:
        found = [
            *image_size_problems(self.image_size),
            *number_problems(1, channels=self.channels, train_size=self.train_size),
            *number_problems(1, valid_size=self.valid_size, test_size=self.test_size),
            *number_problems(0, seed=self.seed),
            *statistics_problems(self.mean, self.std, channels=self.channels),
        ]
        if self.noise_std < 0:
            text = f"must not be negative, got {self.noise_std}"
            found.append(Problem("noise_std", self.noise_std, text, "set dataset.noise_std=20"))
        if not image_size_problems(self.image_size) and min(self.spec.image_size) < _SMALLEST:
            text = f"must be at least {_SMALLEST} pixels, got {self.image_size}"
            found.append(Problem("image_size", self.image_size, text, f"set dataset.image_size={_SMALLEST}"))
        return found

    def load(self) -> Splits:
        """Raises ``ValueError`` for what ``problems`` lists."""
        from runner.data.sources.in_memory import digest
        from runner.data.statistics import channel_statistics, given_or

        require_none(self.problems())
        sizes = {"train": self.train_size, "valid": self.valid_size, "test": self.test_size}
        parts = {name: self._part(name, size) for name, size in sizes.items()}
        mean, std = given_or(self.mean, self.std, lambda: channel_statistics(parts["train"].tensors[0]))
        return Splits(
            parts["train"],
            parts["valid"],
            parts["test"],
            spec=self.spec,
            mean=mean,
            std=std,
            class_names=CLASSES,
            digest=digest([tensor for part in parts.values() for tensor in part.tensors]),
            notes={f"{name}_size": size for name, size in sizes.items()} | {"seed": self.seed},
        )

    def _part(self, name: str, size: int) -> Arrays:
        import torch

        from runner.randomness import Randomness

        generator = Randomness(self.seed).generator(f"shapes {name}")

        def chunks() -> Iterator[tuple[Tensor, Tensor]]:
            for first in range(0, size, _AT_ONCE):
                count = min(_AT_ONCE, size - first)
                masks, brightness = drawn(count, self.spec.image_size, generator)
                clean = brightness[:, None].expand(-1, self.channels, -1, -1)
                noise = self.noise_std * torch.randn(clean.shape, generator=generator)
                yield (clean + noise).round_().clamp_(0, 255).byte(), masks

        images, masks = zip(*chunks(), strict=True)
        return Arrays(torch.cat(images), torch.cat(masks))


def drawn(count: int, image_size: tuple[int, ...], generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(masks uint8 (count, H, W), brightness float32 (count, H, W) in 0..255), each shape in a quarter of its own."""
    import torch

    half = [side // 2 for side in image_size]
    rows, columns = torch.arange(image_size[0]).view(-1, 1) + 0.5, torch.arange(image_size[1]) + 0.5
    masks = torch.zeros(count, *image_size, dtype=torch.uint8)
    brightness = 40 + 60 * torch.rand(count, 1, 1, generator=generator).expand(count, *image_size)
    shapes = torch.randint(1, _MOST + 1, (count, 1, 1), generator=generator)
    quarters = torch.rand(count, 4, generator=generator).argsort(1)[:, :_MOST, None, None]
    for number in range(_MOST):
        kinds = torch.randint(1, len(CLASSES), (count, 1, 1), generator=generator)
        radius = min(half) * (0.25 + 0.2 * torch.rand(count, 1, 1, generator=generator))
        quarter, places = quarters[:, number], torch.rand(2, count, 1, 1, generator=generator)
        value = 150 + 80 * torch.rand(count, 1, 1, generator=generator)
        down = rows - (quarter // 2 * half[0] + radius + places[0] * (half[0] - 2 * radius))
        right = columns - (quarter % 2 * half[1] + radius + places[1] * (half[1] - 2 * radius))
        inside = (_reach(down, right, kinds) <= radius) & (number < shapes)
        masks = torch.where(inside, kinds.byte(), masks)
        brightness = torch.where(inside, value, brightness)
    return masks, brightness


def _reach(down: Tensor, right: Tensor, kinds: Tensor) -> Tensor:
    """How large a shape of each kind must be to hold the pixel (count, H, W): its radius, from centre to corner."""
    import torch

    disc = (down**2 + right**2).sqrt()
    square = 2**0.5 * torch.maximum(down.abs(), right.abs())
    triangle = torch.maximum(2 * down, 3**0.5 * right.abs() - down)
    return torch.where(kinds == 1, disc, torch.where(kinds == 2, square, triangle))
