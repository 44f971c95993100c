"""Which examples come when: a function of (seed, epoch), entered at any step in O(1)."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from runner.data.source import ORDERS, Splits
from runner.randomness import Randomness


class TrainingOrder:
    """The batches of each epoch, over sets of ``sizes`` samples that stand one behind the other.

    "mixed" shuffles all samples as one set. Otherwise each set is shuffled by itself, and a batch holds samples of one
    set: "alternated" takes a batch of each set in turn for as long as it has any, "in_sequence" all of the first set,
    then all of the next. Each sample comes once an epoch; the last batch of what is shuffled together may be short.
    """

    def __init__(self, sizes: Sequence[int], batch_size: int, *, order: str = "mixed") -> None:
        assert order in ORDERS, order
        self.batch_size = batch_size
        self.bounds: list[int] = [0, *([sum(sizes)] if order == "mixed" else itertools.accumulate(sizes))]
        batches = [range(first, last, batch_size) for first, last in itertools.pairwise(self.bounds)]
        turns: Iterable[Iterable[int | None]] = itertools.zip_longest(*batches) if order == "alternated" else batches
        alone = len(batches) == 1  # a range takes no memory
        self.starts: Sequence[int] = (
            batches[0] if alone else [start for turn in turns for start in turn if start is not None]
        )

    @classmethod
    def of(cls, splits: Splits, batch_size: int) -> TrainingOrder:
        """That of the training part, whose batches have at most ``batch_size`` samples."""
        sizes = splits.sets.get("train") or {"all": len(splits.train)}
        return cls(list(sizes.values()), batch_size, order=splits.order)

    @property
    def steps_per_epoch(self) -> int:
        return len(self.starts)

    @property
    def batch_sizes(self) -> set[int]:
        """The numbers of samples that batches have."""
        sizes = [last - first for first, last in itertools.pairwise(self.bounds)]
        return {count for size in sizes for count in (min(self.batch_size, size), size % self.batch_size) if count}

    def samples_at(self, step: int) -> int:
        """Samples in the training batch that comes after ``step`` completed steps."""
        start = self.starts[step % self.steps_per_epoch]
        return self._end(start) - start

    def batches(self, *, randomness: Randomness, first_step: int = 0) -> Iterator[Tensor]:
        """Endless batches of indices (int64, on the CPU): a fresh permutation each epoch.

        What comes at ``first_step`` and after is the same whatever ``first_step`` is: nothing is replayed.
        """
        first_epoch, position = divmod(first_step, self.steps_per_epoch)
        for epoch in itertools.count(first_epoch):
            permutation = self._permutation(randomness.generator("order", epoch))
            for start in self.starts[position:]:
                yield permutation[start : self._end(start)]
            position = 0

    def _permutation(self, generator: torch.Generator) -> Tensor:
        """Each set in its place, shuffled by itself."""
        spans = itertools.pairwise(self.bounds)
        return torch.cat([first + torch.randperm(last - first, generator=generator) for first, last in spans])

    def _end(self, start: int) -> int:
        return min(start + self.batch_size, self.bounds[bisect_right(self.bounds, start)])


def only(rows: Callable[[int], slice] | None, batches: Iterable[Tensor]) -> Iterator[Tensor]:
    """Of each batch of indices the rows that ``rows`` gives for its length; None: all of them."""
    return iter(batches) if rows is None else (indices[rows(len(indices))] for indices in batches)


def evaluation_order(places: range, batch_size: int) -> Iterator[Tensor]:
    """Batches of indices that visit each of ``places`` once, in order."""
    yield from (torch.split(torch.arange(places.start, places.stop), batch_size) if places else ())
