"""Made-up images with boxes: discs, squares and triangles on noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.data.source import Arrays, BoxSpec, Problem, Splits
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

CLASSES = ("disc", "square", "triangle")
_SMALLEST = 16  # pixels
_TRIES = 16  # places for a shape, of which the first without another one is taken
_CHUNK = 256  # images that are drawn at once: their pixels are floats then


@dataclass(frozen=True, kw_only=True)
class ShapesBoxes:
    """One to ``max_boxes`` shapes on an image, of random class, place, size and colour; no two touch.

    Their sides are a fifth to two fifths of the image's smaller one. ``seed`` is the data's own, not the run's.
    """

    image_size: ImageSize = 64
    max_boxes: int = 3
    train_size: int = 2000
    valid_size: int = 200
    test_size: int = 200
    seed: int = 0
    mean: Statistics = None  # None: computed from the training part
    std: Statistics = None

    @property
    def spec(self) -> BoxSpec:
        height, width = size_or(self.image_size, (64, 64))
        return BoxSpec(channels=3, height=height, width=width, num_classes=len(CLASSES), max_boxes=self.max_boxes)

    def problems(self) -> list[Problem]:
        found = [
            *image_size_problems(self.image_size),
            *number_problems(1, train_size=self.train_size, valid_size=self.valid_size, test_size=self.test_size),
            *number_problems(1, max_boxes=self.max_boxes),
            *number_problems(0, seed=self.seed),
            *statistics_problems(self.mean, self.std, channels=3),
        ]
        if not found and min(self.spec.image_size) < _SMALLEST:
            text = f"must be at least {_SMALLEST} pixels, got {self.image_size}"
            found.append(Problem("image_size", self.image_size, text, f"set dataset.image_size={_SMALLEST}"))
        return found

    def load(self) -> Splits:
        """Raises ``ValueError`` for what ``problems`` lists."""
        from runner.data.sources.in_memory import digest
        from runner.data.statistics import channel_statistics, given_or
        from runner.randomness import Randomness

        require_none(self.problems())
        sizes = {"train": self.train_size, "valid": self.valid_size, "test": self.test_size}
        train, valid, test = (
            Arrays(*drawn(size, self.spec, Randomness(self.seed).generator(f"shapes {name}")))
            for name, size in sizes.items()
        )
        mean, std = given_or(self.mean, self.std, lambda: channel_statistics(train.tensors[0]))
        return Splits(
            train,
            valid,
            test,
            spec=self.spec,
            mean=mean,
            std=std,
            class_names=CLASSES,
            digest=digest([tensor for part in (train, valid, test) for tensor in part.tensors]),
            notes={f"{name}_size": size for name, size in sizes.items()} | {"seed": self.seed},
        )


def drawn(count: int, spec: BoxSpec, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Images uint8 (count, 3, H, W), boxes float32 (count, max_boxes, 4) and classes int64 (count, max_boxes)."""
    import torch

    boxes = _placed(count, spec, generator)
    labels = torch.randint(1, len(CLASSES) + 1, boxes.shape[:2], generator=generator)
    labels = labels.masked_fill(boxes[..., 2] == 0, 0)
    contrast = 0.25 + 0.25 * torch.rand(count, spec.max_boxes, 3, generator=generator)
    colours = 0.5 + contrast * (2 * torch.randint(2, contrast.shape, generator=generator) - 1)
    images = [
        _painted(*some, spec=spec, generator=generator)
        for some in zip(*(torch.split(values, _CHUNK) for values in (boxes, labels, colours)), strict=True)
    ]
    return torch.cat(images), boxes, labels


def _placed(count: int, spec: BoxSpec, generator: torch.Generator) -> Tensor:
    """Squares (count, max_boxes, 4) that do not touch; those that found no place are 0, and stand last."""
    import torch

    size = torch.tensor([spec.width, spec.height])
    wanted = torch.randint(1, spec.max_boxes + 1, (count,), generator=generator)
    boxes = torch.zeros(count, spec.max_boxes, 4)
    images = torch.arange(count)
    number = torch.zeros(count, dtype=torch.int64)  # of boxes, of each image
    for shape in range(spec.max_boxes):
        side = min(spec.image_size) * (0.2 + 0.2 * torch.rand(count, 1, 1, generator=generator))
        corner = torch.rand(count, _TRIES, 2, generator=generator) * (size - side)
        tried = torch.cat([corner, corner + side], 2)
        free = ~_touch(tried, boxes).any(2)
        chosen = tried[images, free.int().argmax(1)]  # the first that is free
        here = free.any(1) & (shape < wanted)
        boxes[images[here], number[here]] = chosen[here]
        number += here
    return boxes


def _touch(tried: Tensor, boxes: Tensor) -> Tensor:
    """Whether boxes (N, T, 4) and (N, M, 4) come closer than a pixel: (N, T, M). Boxes of 0 touch nothing."""
    one, other = tried[:, :, None], boxes[:, None]
    apart = (one[..., :2] > other[..., 2:] + 1) | (other[..., :2] > one[..., 2:] + 1)
    return ~apart.any(-1) & (other[..., 2] > 0)


def _painted(boxes: Tensor, labels: Tensor, colours: Tensor, *, spec: BoxSpec, generator: torch.Generator) -> Tensor:
    """Images uint8 (N, 3, H, W): shapes with soft edges that fill their boxes, on noise about a grey of each image."""
    import torch

    height, width = spec.image_size
    count = len(boxes)
    grey = 0.4 + 0.2 * torch.rand(count, 1, 1, 1, generator=generator)
    images = grey + 0.1 * torch.randn(count, 3, height, width, generator=generator)
    for box, label, colour in zip(boxes.unbind(1), labels.unbind(1), colours.unbind(1), strict=True):
        radius = ((box[:, 2] - box[:, 0]) / 2).view(-1, 1, 1)
        middle = (box[:, :2] + box[:, 2:]) / 2
        down = torch.arange(height).view(1, -1, 1) + 0.5 - middle[:, 1].view(-1, 1, 1)
        right = torch.arange(width).view(1, 1, -1) + 0.5 - middle[:, 0].view(-1, 1, 1)
        outside = _distances(down, right, radius)[(label - 1).clamp(min=0), torch.arange(count)]
        share = (0.5 - outside).clamp(0, 1) * (label > 0).view(-1, 1, 1)
        images = torch.lerp(images, colour[:, :, None, None], share.unsqueeze(1))
    return (images * 255).round().clamp(0, 255).byte()


def _distances(down: Tensor, right: Tensor, radius: Tensor) -> Tensor:
    """Pixels outside of each shape about the origin, below 0 inside: (classes, N, H, W)."""
    import torch

    disc = (down**2 + right**2).sqrt() - radius
    square = torch.maximum(down.abs(), right.abs()) - radius
    sides = (2 * right.abs() - down - radius) / 5**0.5  # of a triangle with its tip at the top
    return torch.stack([disc, square, torch.maximum(sides, down - radius)])
