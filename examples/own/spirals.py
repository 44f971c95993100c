"""A data set of one's own: drawn spirals, told apart by their arms and by the way they turn."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from runner.data.source import Arrays, Problem, Spec, Splits
from runner.randomness import Randomness


@dataclass(frozen=True, kw_only=True)
class Spirals:
    """Grey images of spirals with 1 to ``arms`` arms, each turning left or right: 2 * arms classes, at any angle.

    A data set is anything with these three members: what an example looks like, what would stop it from loading,
    and the loaded parts. ``seed`` is the data's own, so that runs with different seeds see the same images.
    """

    image_size: int = 24  # pixels
    arms: int = 3
    noise: float = 0.6  # standard deviation, of white
    train_size: int = 1000
    valid_size: int = 200
    test_size: int = 200
    seed: int = 0

    @property
    def spec(self) -> Spec:
        return Spec(channels=1, height=self.image_size, width=self.image_size, num_classes=2 * self.arms)

    def problems(self) -> list[Problem]:
        if self.image_size >= 8:
            return []
        return [Problem("image_size", self.image_size, "is too small for a spiral", "set dataset.image_size=24")]

    def load(self) -> Splits:
        sizes = {"train": self.train_size, "valid": self.valid_size, "test": self.test_size}
        parts = {name: Arrays(*self._draw(name, size)) for name, size in sizes.items()}
        return Splits(**parts, spec=self.spec, mean=[0.5], std=[0.25])

    def _draw(self, part: str, size: int) -> tuple[Tensor, Tensor]:
        """Images uint8 (N, 1, H, W) and labels int64 (N,)."""
        generator = Randomness(self.seed).generator(part)
        labels = torch.arange(size) % (2 * self.arms)
        arms, turn = (labels // 2 + 1).view(-1, 1, 1), (labels % 2 * 2 - 1).view(-1, 1, 1)
        start = 2 * math.pi * torch.rand(size, 1, 1, generator=generator)
        axis = torch.linspace(-1, 1, self.image_size)
        radius = torch.hypot(axis[:, None], axis[None, :])
        angle = torch.atan2(axis[:, None], axis[None, :])
        images = 0.5 + 0.5 * torch.cos(arms * (angle + turn * 5 * radius) + start)  # (N, H, W)
        images += self.noise * torch.randn(images.shape, generator=generator)
        return images.mul(255).round().clamp(0, 255).byte().unsqueeze(1), labels
