"""A user's own tensors or DataLoaders as training data, for use without a configuration."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from runner.batch import Batch, map_tensors
from runner.data.data import check_batch_size
from runner.data.draws import seeded
from runner.data.order import TrainingOrder, evaluation_order
from runner.data.resident import Resident
from runner.data.source import Arrays
from runner.data.transfer import moved
from runner.randomness import Randomness

Given = Tensor | Sequence[Tensor] | DataLoader[Any]


class Part(Protocol):
    def __len__(self) -> int:
        """Samples."""
        ...

    @property
    def steps_per_epoch(self) -> int: ...

    def train(self, first_step: int) -> Generator[Batch, None, None]: ...

    def evaluate(self) -> Iterator[Batch]: ...


class LoaderData:
    """``TrainingData`` over a user's own objects. What they give is moved to the device and not changed."""

    def __init__(self, train: Part, parts: Mapping[str, Part]) -> None:
        self._train = train
        self._parts = {"train": train, **parts}

    @classmethod
    def of(
        cls,
        train: Given,
        *,
        valid: Given | None = None,
        test: Given | None = None,
        randomness: Randomness,
        batch_size: int = 64,
        eval_batch_size: int | None = None,
        device: torch.device | str = "cpu",
    ) -> LoaderData:
        """Each part is a tensor, a tuple of tensors of one length, or a ``DataLoader`` with its own batches.

        Tensors are kept on the device and shuffled as ``Data`` does. A loader's shuffling becomes a function
        of (seed, epoch); to resume in the middle of an epoch, its batches are read again up to there. With
        ``persistent_workers``, what workers draw goes on from epoch to epoch and is not repeated by a resume.
        """
        where = torch.device(device)

        def part(given: Given, size: int) -> Part:
            if isinstance(given, DataLoader):
                return LoaderPart(given, device=where, randomness=randomness)
            tensors = (given,) if isinstance(given, Tensor) else tuple(given)
            return TensorPart(Arrays(*tensors), batch_size=size, device=where, randomness=randomness)

        others = {"valid": valid, "test": test}
        first = part(train, batch_size)
        if isinstance(first, TensorPart):
            check_batch_size(batch_size, len(first), setting="batch_size")
        return cls(first, {n: part(g, eval_batch_size or batch_size) for n, g in others.items() if g is not None})

    @property
    def steps_per_epoch(self) -> int:
        return self._train.steps_per_epoch

    def train(self, first_step: int = 0) -> Generator[Batch, None, None]:
        return self._train.train(first_step)

    def part(self, name: str) -> Iterator[Batch]:
        return self._parts[name].evaluate() if name in self._parts else iter(())

    def size(self, name: str) -> int:
        return len(self._parts[name]) if name in self._parts else 0


class TensorPart:
    """Tensors on the device, a batch of ``batch_size`` at a time."""

    def __init__(self, arrays: Arrays, *, batch_size: int, device: torch.device, randomness: Randomness) -> None:
        self.feed = Resident(arrays, device)
        self.batch_size = batch_size
        self.randomness = randomness

    def __len__(self) -> int:
        return len(self.feed)

    @cached_property
    def order(self) -> TrainingOrder:
        return TrainingOrder([len(self)], self.batch_size)

    @property
    def steps_per_epoch(self) -> int:
        return self.order.steps_per_epoch

    def train(self, first_step: int) -> Generator[Batch, None, None]:
        yield from self.feed.batches(self.order.batches(randomness=self.randomness, first_step=first_step))

    def evaluate(self) -> Iterator[Batch]:
        return self.feed.batches(evaluation_order(range(len(self)), self.batch_size))


class LoaderPart:
    """A user's ``DataLoader``, seeded for each epoch and batch without touching the run's generators."""

    def __init__(self, loader: DataLoader[Any], *, device: torch.device, randomness: Randomness) -> None:
        try:
            self.steps_per_epoch = len(loader)
            self.size = len(loader.dataset)  # type: ignore[arg-type]
        except TypeError as error:
            raise ValueError(
                "a DataLoader must know its length, got one over an iterable data set without; "
                "give that data set a __len__"
            ) from error
        if self.size == 0 or self.steps_per_epoch == 0:
            raise ValueError(
                f"a DataLoader must give at least one batch, got none from {self.size} samples; "
                "give it more data, a smaller batch_size, or drop_last=False"
            )
        self.loader = loader
        self.device = device
        self.randomness = randomness

    def __len__(self) -> int:
        return self.size

    def train(self, first_step: int) -> Generator[Batch, None, None]:
        epoch, position = divmod(first_step, self.steps_per_epoch)
        for now in itertools.count(epoch):
            for batch in itertools.islice(self.passage("order", now), position, None):
                yield self._here(batch)
            position = 0

    def evaluate(self) -> Iterator[Batch]:
        for batch in self.passage("evaluation order", 0):
            yield self._here(batch)

    def passage(self, purpose: str, epoch: int) -> Iterator[Any]:
        """One pass over the loader, as it comes from there."""
        key = self.randomness.key(purpose, epoch)
        if self.loader.generator is not None:
            self.loader.generator.manual_seed(key)
        with seeded(key):
            batches = iter(self.loader)
        for position in itertools.count():
            with seeded(self.randomness.key(purpose, epoch, position)):
                try:
                    batch = next(batches)
                except StopIteration:
                    return
            yield batch

    def _here(self, batch: Batch) -> Batch:
        return map_tensors(lambda tensor: moved(tensor, self.device), batch)
