"""Data that is read as it is used, by workers on which neither the order nor the draws depend."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from runner.batch import Batch, stacked
from runner.data.augment import ExampleAugmentation
from runner.data.draws import seeded
from runner.data.source import Examples
from runner.data.transfer import arriving
from runner.randomness import Randomness

Key = tuple[int, int, int]  # (index of the example, step, row in the batch)


class Streamed:
    """A ``DataLoader`` over ``examples``; a per-example ``augmentation`` is applied to the first tensor.

    What an example draws, in ``__getitem__`` or in the augmentation, is a function of (seed, step, row in the
    batch), so the number of workers changes nothing. The workers end with the iterator.
    """

    def __init__(
        self,
        examples: Examples,
        device: torch.device,
        *,
        randomness: Randomness,
        workers: int = 0,
        augmentation: ExampleAugmentation | None = None,
    ) -> None:
        self.reader = Reader(examples, randomness=randomness, augmentation=augmentation)
        self.device = device
        self.workers = workers

    def __len__(self) -> int:
        return len(self.reader)

    def batches(
        self,
        indices: Iterable[Tensor],
        *,
        first_step: int = 0,
        workers: int | None = None,
        rows: Callable[[int], slice] | None = None,
    ) -> Iterator[Batch]:
        workers = self.workers if workers is None else workers
        loader: DataLoader[Any] = DataLoader(
            self.reader,
            collate_fn=_collated,
            batch_sampler=keys(indices, first_step=first_step, rows=rows),  # any iterable will do
            num_workers=workers,
            pin_memory=self.device.type == "cuda",
            prefetch_factor=4 if workers else None,
            generator=torch.Generator(),  # otherwise the loader draws from the run's own
        )
        try:
            yield from arriving(iter(loader), self.device)
        except Exception as error:
            # The traceback of an error in a worker holds the loader's frames, and they the other workers.
            traceback.clear_frames(error.__traceback__)
            raise


def _collated(examples: list[Batch]) -> Batch:
    return stacked(examples, default_collate)  # which in a worker stacks in memory that is shared already


def keys(
    indices: Iterable[Tensor], *, first_step: int, rows: Callable[[int], slice] | None = None
) -> Iterator[list[Key]]:
    for step, index in enumerate(indices, first_step):
        whole = [(example, step, row) for row, example in enumerate(index.tolist())]
        yield whole if rows is None else whole[rows(len(whole))]


class Reader(Dataset[Batch]):
    """Reads one example under the draws that belong to its place in the order. Runs in the workers."""

    def __init__(self, examples: Examples, *, randomness: Randomness, augmentation: ExampleAugmentation | None) -> None:
        self.examples = examples
        self.randomness = randomness
        self.augmentation = augmentation

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, key: Key) -> Batch:
        index, *place = key
        with seeded(self.randomness.key("example", *place)):
            example = self.examples[index]
        if self.augmentation is None:
            return example
        image, *rest = example
        return self.augmentation(image, self.randomness.generator("augment example", *place)), *rest
