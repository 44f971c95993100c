"""Training samples for what is made from data before training begins."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from runner.batch import Batch, stacked, tensors
from runner.data.draws import seeded
from runner.data.prepare import Prepare
from runner.data.source import Splits
from runner.randomness import Randomness

VALUES = 2**26  # of images in a sample at most: 256 MiB


@runtime_checkable
class BegunWithData(Protocol):
    """A network some of whose weights begin as a function of the training data."""

    def initialise_from_data(self, images: Tensor) -> None:
        """Set them. ``images`` (N, C, H, W) are on the CPU, scaled and normalised as those that it will be given."""
        ...


def spread(splits: Splits, count: int) -> Batch:
    """``count`` training samples as models see them, but not augmented, on the CPU; fewer of few or large ones.

    They are evenly spaced, so that all classes of a sorted data set are among them, and the same for every seed.
    """
    size = len(splits.train)
    with seeded(0):  # examples may draw while they are read
        count = max(1, min(count, size, VALUES // next(tensors(splits.train[0])).numel()))
        rows = [splits.train[place * size // count] for place in range(count)]
    batch = stacked(rows)
    statistics, cpu = (splits.mean or None, splits.std or None), torch.device("cpu")
    prepare = Prepare(*statistics, spec=splits.spec, randomness=Randomness(0), device=cpu)
    return prepare.evaluate(batch)
