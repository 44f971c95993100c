"""Made-up images that a linear model can tell apart, of any shape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.data.source import Problem, Spec, Splits
from runner.data.sources.settings import (
    Statistics,
    class_problems,
    fraction_problems,
    number_problems,
    statistics_problems,
)

if TYPE_CHECKING:
    from torch import Tensor

    from runner.data.sources.in_memory import Labelled


@dataclass(frozen=True, kw_only=True)
class Synthetic:
    """Each class is a smooth random pattern; a sample is its class's pattern under heavy pixel noise.

    Classes are as equal in number as they can be. ``seed`` is the data's own, not the run's.
    """

    channels: int = 3
    height: int = 32
    width: int = 32
    num_classes: int = 10
    train_size: int = 2000
    valid_size: int = 500
    test_size: int = 500
    seed: int = 0
    mean: Statistics = None  # None: computed from the training part
    std: Statistics = None
    novel_classes: Sequence[int] = ()  # in the test part only
    labelled_fraction: float | None = None  # None: all of the training part

    @property
    def spec(self) -> Spec:
        return Spec(channels=self.channels, height=self.height, width=self.width, num_classes=self.num_classes)

    def problems(self) -> list[Problem]:
        shape = number_problems(1, channels=self.channels, height=self.height, width=self.width)
        sizes = number_problems(1, train_size=self.train_size, valid_size=self.valid_size, test_size=self.test_size)
        return [
            *shape,
            *number_problems(2, num_classes=self.num_classes),
            *sizes,
            *number_problems(0, seed=self.seed),
            *statistics_problems(self.mean, self.std, channels=self.channels),
            *class_problems(self.novel_classes, num_classes=self.num_classes),
            *([] if self.labelled_fraction is None else fraction_problems(labelled_fraction=self.labelled_fraction)),
        ]

    def load(self) -> Splits:
        from runner.data.sources.in_memory import splits_of

        prototypes = self._prototypes()
        train, valid, test = (
            self._part(name, size, prototypes)
            for name, size in (
                ("train", self.train_size),
                ("valid", self.valid_size),
                ("test", self.test_size),
            )
        )
        names = tuple(f"class {label}" for label in range(self.num_classes))
        return splits_of(
            train,
            valid,
            test,
            spec=self.spec,
            mean=self.mean,
            std=self.std,
            class_names=names,
            notes={"seed": self.seed},
            novel_classes=self.novel_classes,
            labelled_fraction=self.labelled_fraction,
            split_seed=self.seed,
        )

    def _prototypes(self) -> Tensor:
        """float32 (classes, C, H, W), around 128."""
        import torch
        import torch.nn.functional as F

        from runner.randomness import Randomness

        generator = Randomness(self.seed).generator("prototypes")
        coarse = torch.randn(self.num_classes, self.channels, 4, 4, generator=generator)
        return 128 + 48 * F.interpolate(coarse, (self.height, self.width), mode="bilinear", align_corners=True)

    def _part(self, name: str, size: int, prototypes: Tensor) -> Labelled:
        import torch

        from runner.data.sources.in_memory import Labelled
        from runner.randomness import Randomness

        generator = Randomness(self.seed).generator(name)
        labels = torch.randperm(size, generator=generator) % self.num_classes

        def chunks() -> Iterator[Tensor]:
            for some in torch.split(
                labels, 1024
            ):  # noise for everything at once would take four times the images' memory
                noise = 48 * torch.randn(len(some), *prototypes.shape[1:], generator=generator)
                yield noise.add_(prototypes[some]).round_().clamp_(0, 255).byte()

        return Labelled(torch.cat(list(chunks())), labels)
