"""Which examples come when: a function of (seed, epoch), entered at any step in O(1)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from runner.randomness import Randomness


def steps_per_epoch(size: int, batch_size: int) -> int:
    """Batches in one pass; the last one may be short."""
    return math.ceil(size / batch_size)


def samples_at(step: int, size: int, batch_size: int) -> int:
    """Samples in the training batch that comes after ``step`` completed steps."""
    position = step % steps_per_epoch(size, batch_size)
    return min(batch_size, size - position * batch_size)


def only(rows: Callable[[int], slice] | None, batches: Iterable[Tensor]) -> Iterator[Tensor]:
    """Of each batch of indices the rows that ``rows`` gives for its length; None: all of them."""
    return iter(batches) if rows is None else (indices[rows(len(indices))] for indices in batches)


def training_order(size: int, batch_size: int, *, randomness: Randomness, first_step: int = 0) -> Iterator[Tensor]:
    """Endless batches of indices (int64, on the CPU): a fresh permutation of ``range(size)`` each epoch.

    What comes at ``first_step`` and after is the same whatever ``first_step`` is: nothing is replayed.
    """
    first_epoch, position = divmod(first_step, steps_per_epoch(size, batch_size))
    for epoch in itertools.count(first_epoch):
        permutation = torch.randperm(size, generator=randomness.generator("order", epoch))
        yield from torch.split(permutation, batch_size)[position:]
        position = 0


def evaluation_order(size: int, batch_size: int) -> Iterator[Tensor]:
    """Batches of indices that visit each of ``range(size)`` once, in order."""
    yield from (torch.split(torch.arange(size), batch_size) if size else ())
