"""Made-up pairs of images of which the answer is known: an outline, and the same shape filled with its colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.data.source import Arrays, PairSpec, Problem, Splits
from runner.data.sources.settings import ImageSize, image_size_problems, number_problems, require_none, size_or

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_SMALLEST = 16  # pixels: an outline has an inside then


@dataclass(frozen=True, kw_only=True)
class ShapePairs:
    """Discs, squares and diamonds of random place, size and colour on black: outlines are inputs, full ones targets.

    With ``paired`` false the targets of the training part are those of other inputs; validation and test pairs belong
    together all the same, so that what was learnt can be measured. ``seed`` is the data's own, not the run's.
    """

    image_size: ImageSize = 32
    paired: bool = True
    train_size: int = 2000
    valid_size: int = 200
    test_size: int = 200
    seed: int = 0

    @property
    def spec(self) -> PairSpec:
        height, width = size_or(self.image_size, (32, 32))
        return PairSpec(in_channels=3, out_channels=3, height=height, width=width)

    def problems(self) -> list[Problem]:
        found = [
            *image_size_problems(self.image_size),
            *number_problems(1, train_size=self.train_size, valid_size=self.valid_size, test_size=self.test_size),
            *number_problems(0, seed=self.seed),
        ]
        if not found and min(self.spec.image_size) < _SMALLEST:
            text = f"must be at least {_SMALLEST} pixels, got {self.image_size}"
            found.append(Problem("image_size", self.image_size, text, f"set dataset.image_size={_SMALLEST}"))
        return found

    def load(self) -> Splits:
        """Raises ``ValueError`` for what ``problems`` lists."""
        import torch

        from runner.data.sources.in_memory import digest
        from runner.randomness import Randomness

        require_none(self.problems())
        sizes = {"train": self.train_size, "valid": self.valid_size, "test": self.test_size}
        parts = {}
        for name, size in sizes.items():
            outlines, full = drawn(size, self.spec.image_size, Randomness(self.seed).generator(f"shapes {name}"))
            if name == "train" and not self.paired:
                _, full = drawn(size, self.spec.image_size, Randomness(self.seed).generator("other shapes"))
            parts[name] = torch.cat([outlines, full], dim=1)
        return Splits(
            Arrays(parts["train"]),
            Arrays(parts["valid"]),
            Arrays(parts["test"]),
            spec=self.spec,
            mean=self.spec.mean,
            std=self.spec.std,
            digest=digest(list(parts.values())),
            notes={f"{name}_size": size for name, size in sizes.items()} | {"seed": self.seed},
        )


def drawn(count: int, image_size: tuple[int, int], generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(outlines, full shapes), each uint8 (count, 3, H, W), with soft edges."""
    import torch

    height, width = image_size
    side = min(image_size)
    radius = side * (0.15 + 0.2 * torch.rand(count, 1, 1, generator=generator))
    places = torch.rand(2, count, 1, 1, generator=generator)
    kinds = torch.randint(3, (count, 1, 1), generator=generator)
    colours = 0.25 + 0.75 * torch.rand(count, 3, 1, 1, generator=generator)
    down = torch.arange(height).view(-1, 1) + 0.5 - (radius + places[0] * (height - 2 * radius))
    right = torch.arange(width) + 0.5 - (radius + places[1] * (width - 2 * radius))
    far = torch.stack([(down**2 + right**2).sqrt(), torch.maximum(down.abs(), right.abs()), down.abs() + right.abs()])
    outside = far.gather(0, kinds.expand(1, count, height, width)).squeeze(0) - radius  # pixels, below 0 inside
    full = (0.5 - outside).clamp(0, 1)
    inner = (-1.5 - outside).clamp(0, 1)  # the outline is two pixels wide
    outlines, shapes = (((mask[:, None] * colours) * 255).round().byte() for mask in (full - inner, full))
    return outlines, shapes
