"""Made-up volumes of which the answer is known: balls, boxes and ellipsoids in noise, and which voxels are theirs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.data.source import Arrays, MaskSpec, Problem, Splits
from runner.data.sources.settings import Statistics, number_problems, require_none, statistics_problems
from runner.data.sources.triples import Triple, triple, triple_problems

if TYPE_CHECKING:
    import torch
    from torch import Tensor

CLASSES = ("background", "ball", "box", "ellipsoid")
MOST_SHAPES = 4
SMALLEST = 12  # voxels: a shape is at least three wide then
BACKGROUND, DARKEST, BRIGHTEST = 64.0, 128.0, 208.0  # of 0..255
EXTENTS = (0.14, 0.22)  # half sides and radii, of the shortest side
GAP = 1.0  # voxels between two shapes
SHORT_AXES = 0.6  # of an ellipsoid's long one
CHUNK = 64  # volumes that are drawn at once


@dataclass(frozen=True, kw_only=True)
class ShapeVolumes:
    """``shapes`` shapes of random kind, place, size and brightness in each volume, none of which touch, under noise.

    Kinds are told apart by their form only. ``num_classes`` counts the background: 2 are balls, 3 balls and boxes, 4
    ellipsoids, too. ``noise_std`` is in the unit of voxels, 0..255. ``seed`` is the data's own, not the run's.
    """

    image_size: Triple = 24
    num_classes: int = 3
    shapes: int = 3
    noise_std: float = 24.0
    train_size: int = 120
    valid_size: int = 24
    test_size: int = 24
    seed: int = 0
    mean: Statistics = None  # None: computed from the training part
    std: Statistics = None

    @property
    def spec(self) -> MaskSpec:
        require_none(triple_problems(1, image_size=self.image_size))
        return MaskSpec(channels=1, image_size=triple(self.image_size), num_classes=self.num_classes)

    def problems(self) -> list[Problem]:
        found = [
            *triple_problems(1, image_size=self.image_size),
            *number_problems(1, train_size=self.train_size, valid_size=self.valid_size, test_size=self.test_size),
            *number_problems(0, seed=self.seed),
            *statistics_problems(self.mean, self.std, channels=1),
        ]
        for key, value, least, most in (
            ("num_classes", self.num_classes, 2, len(CLASSES)),
            ("shapes", self.shapes, 1, MOST_SHAPES),
        ):
            if not (isinstance(value, int) and least <= value <= most):
                text = f"must lie between {least} and {most}, got {value!r}"
                found.append(Problem(key, value, text, f"set dataset.{key}=3"))
        if not (isinstance(self.noise_std, int | float) and self.noise_std >= 0):
            text = f"must not be negative, got {self.noise_std!r}"
            found.append(Problem("noise_std", self.noise_std, text, "set dataset.noise_std=24"))
        if not found and min(triple(self.image_size)) < SMALLEST:
            text = f"must be at least {SMALLEST} voxels, got {self.image_size}"
            found.append(Problem("image_size", self.image_size, text, "set dataset.image_size=24"))
        return found

    def load(self) -> Splits:
        """Raises ``ValueError`` for what ``problems`` lists."""
        from runner.data.sources.in_memory import digest
        from runner.data.statistics import channel_statistics, given_or
        from runner.randomness import Randomness

        require_none(self.problems())
        sizes = {"train": self.train_size, "valid": self.valid_size, "test": self.test_size}
        parts = {
            name: Arrays(*self._drawn(size, Randomness(self.seed).generator(f"volumes {name}")))
            for name, size in sizes.items()
        }
        mean, std = given_or(self.mean, self.std, lambda: channel_statistics(parts["train"].tensors[0]))
        return Splits(
            parts["train"],
            parts["valid"],
            parts["test"],
            spec=self.spec,
            mean=mean,
            std=std,
            class_names=CLASSES[: self.num_classes],
            digest=digest([tensor for part in parts.values() for tensor in part.tensors]),
            notes={f"{name}_size": size for name, size in sizes.items()} | {"seed": self.seed},
        )

    def _drawn(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(volumes (count, 1, D, H, W), masks (count, D, H, W)), both uint8."""
        import torch

        size = triple(self.image_size)
        kinds = torch.randint(1, self.num_classes, (count, self.shapes), generator=generator)
        levels = DARKEST + (BRIGHTEST - DARKEST) * torch.rand(count, self.shapes, generator=generator)
        extents, centres = _places(kinds, size, generator)
        volumes, masks = [], []
        for at in range(0, count, CHUNK):
            rows = slice(at, at + CHUNK)
            mask, volume = _painted(kinds[rows], levels[rows], extents[rows], centres[rows], size)
            volume += self.noise_std * torch.randn(volume.shape, generator=generator)
            volumes.append(volume.round_().clamp_(0, 255).byte()[:, None])
            masks.append(mask)
        return torch.cat(volumes), torch.cat(masks)


def _places(kinds: Tensor, size: tuple[int, int, int], generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Half sides or radii, and centres, in voxels, float32 (count, shapes, 3), of shapes that do not touch.

    Volumes whose shapes do are drawn again: of four shapes many times.
    """
    import torch

    extents, centres = torch.zeros(2, *kinds.shape, 3)
    left = torch.arange(len(kinds))
    while len(left):
        extents[left] = _extents(kinds[left], min(size), generator)
        room = torch.tensor(size) - 2 * extents[left]
        centres[left] = extents[left] + room * torch.rand(room.shape, generator=generator)
        apart = (centres[left, :, None] - centres[left, None]).abs() > extents[left, :, None] + extents[
            left, None
        ] + GAP
        touching = ~apart.any(-1) & ~torch.eye(kinds.shape[1], dtype=torch.bool)
        left = left[touching.flatten(1).any(1)]
    return extents, centres


def _extents(kinds: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """A ball has one radius, a box three half sides of its own, an ellipsoid one long axis and two short ones."""
    import torch

    shape = (*kinds.shape, 3)
    extents = side * (EXTENTS[0] + (EXTENTS[1] - EXTENTS[0]) * torch.rand(shape, generator=generator))
    long_axis = torch.randint(3, kinds.shape, generator=generator)[..., None] == torch.arange(3)
    of_ellipsoid = extents[..., :1] * torch.where(long_axis, 1.0, SHORT_AXES)
    kind = kinds[..., None]
    return torch.where(kind == 1, extents[..., :1], torch.where(kind == 3, of_ellipsoid, extents))


def _painted(
    kinds: Tensor, levels: Tensor, extents: Tensor, centres: Tensor, size: tuple[int, int, int]
) -> tuple[Tensor, Tensor]:
    """(masks uint8, volumes float32), both (B, D, H, W), without noise."""
    import torch

    masks = torch.zeros(len(kinds), *size, dtype=torch.uint8)
    volumes = torch.full(masks.shape, BACKGROUND)
    for kind, level, extent, centre in zip(*(of.unbind(1) for of in (kinds, levels, extents, centres)), strict=True):
        depth, height, width = (
            ((torch.arange(length) + 0.5 - centre[:, axis, None]) / extent[:, axis, None]).view(
                -1, *(length if axis == other else 1 for other in range(3))
            )
            for axis, length in enumerate(size)
        )
        one = (slice(None), None, None, None)
        round_ones = depth**2 + height**2 + width**2 <= 1
        boxes = torch.maximum(torch.maximum(depth.abs(), height.abs()), width.abs()) <= 1
        inside = torch.where((kind == 2)[one], boxes, round_ones)
        masks = torch.where(inside, kind[one].byte(), masks)
        volumes = torch.where(inside, level[one], volumes)
    return masks, volumes
