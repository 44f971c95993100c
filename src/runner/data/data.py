"""What the loop sees of data: endless training batches from any step on, and parts to evaluate."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import islice
from typing import Protocol

import torch
from torch import Tensor

from runner.batch import Batch
from runner.data.augment import Augmentation, NoAugmentation
from runner.data.order import evaluation_order, steps_per_epoch, training_order
from runner.data.prepare import Prepare
from runner.data.resident import Feed, Loadable, Resident, resident_fits
from runner.data.source import Arrays, Examples, Splits
from runner.data.streamed import Streamed
from runner.randomness import Randomness

RESIDENT = ("auto", "always", "never")


class TrainingData(Protocol):
    """What ``train`` and ``evaluate`` need. A part that does not exist has size 0 and no batches."""

    @property
    def steps_per_epoch(self) -> int: ...

    def train(self, first_step: int = 0) -> Generator[Batch, None, None]:
        """Endless batches on the device, beginning with the one that step ``first_step`` + 1 is made of."""
        ...

    def part(self, name: str) -> Iterator[Batch]:
        """Each sample of "valid" or "test" once, in order, never augmented."""
        ...

    def size(self, name: str) -> int:
        """Samples in "train", "valid" or "test"."""
        ...


class Data:
    """The parts of a loaded data set on one device: resident there if they may and can be, else streamed.

    resident: "auto" (where it fits), "always", or "never". A per-example augmentation streams the training
    part. Without ``mean`` and ``std`` in the splits images are only scaled.
    Raises ``ValueError`` for a batch larger than the training part, and for what cannot be resident but must.
    """

    def __init__(
        self,
        splits: Splits,
        *,
        device: torch.device,
        batch_size: int,
        randomness: Randomness,
        eval_batch_size: int | None = None,
        augmentation: Augmentation | None = None,
        resident: str = "auto",
        workers: int = 0,
    ) -> None:
        check_batch_size(batch_size, len(splits.train))
        augmentation = augmentation or NoAugmentation()
        check_resident(resident, augmentation)
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size or batch_size
        self.randomness = randomness
        self.prepare = Prepare(
            splits.mean or None,
            splits.std or None,
            augmentation=augmentation,
            randomness=randomness,
            device=device,
        )
        parts = {"train": splits.train, "valid": splits.valid, "test": splits.test}
        streams = ["train"] if augmentation.per_example else []
        if resident == "never" or (
            resident == "auto" and not resident_fits([e for n, e in parts.items() if n not in streams], device)
        ):
            streams = list(parts)

        def feed(name: str, examples: Examples) -> Feed:
            if name not in streams:
                return Resident(whole(examples), device)
            own = augmentation if name == "train" and augmentation.per_example else None
            return Streamed(examples, device, randomness=randomness, workers=workers, augmentation=own)

        self.feeds = {name: feed(name, examples) for name, examples in parts.items()}

    @property
    def steps_per_epoch(self) -> int:
        return steps_per_epoch(self.size("train"), self.batch_size)

    def size(self, name: str) -> int:
        return len(self.feeds[name])

    def train(self, first_step: int = 0) -> Generator[tuple[Tensor, ...], None, None]:
        order = training_order(self.size("train"), self.batch_size, randomness=self.randomness, first_step=first_step)
        batches = self.feeds["train"].batches(order, first_step=first_step)
        for step, batch in enumerate(batches, first_step):
            yield self.prepare.train(batch, step)

    def first(self, name: str) -> tuple[Tensor, ...]:
        """The first batch of "train" (what step 1 is made of), "valid" or "test". No process is started to read it."""
        if name == "train":
            order = training_order(self.size(name), self.batch_size, randomness=self.randomness)
            return self.prepare.train(next(self.feeds[name].batches(islice(order, 1), workers=0)), 0)
        order = evaluation_order(self.size(name), self.eval_batch_size)
        return self.prepare.evaluate(next(self.feeds[name].batches(islice(order, 1), workers=0)))

    def part(self, name: str) -> Iterator[tuple[Tensor, ...]]:
        order = evaluation_order(self.size(name), self.eval_batch_size)
        for batch in self.feeds[name].batches(order):
            yield self.prepare.evaluate(batch)


def check_batch_size(batch_size: int, size: int, *, setting: str = "trainer.batch_size") -> None:
    if batch_size < 1:
        raise ValueError(f"{setting} must be at least 1, got {batch_size}; set {setting}=<n>")
    if batch_size > size:
        raise ValueError(
            f"{setting}={batch_size} is larger than the training part ({size} samples); set {setting} to at most {size}"
        )


def check_resident(resident: str, augmentation: Augmentation) -> None:
    if resident not in RESIDENT:
        raise ValueError(f"trainer.resident must be one of {', '.join(RESIDENT)}, got {resident!r}")
    if resident == "always" and augmentation.per_example:
        raise ValueError(
            f"{type(augmentation).__name__} changes one image at a time and needs streamed data, "
            "got trainer.resident=always; set trainer.resident=auto"
        )


def whole(examples: Examples) -> Arrays:
    """The examples as tensors. Raises ``ValueError`` for those that have to be read anew each time."""
    if isinstance(examples, Arrays):
        return examples
    if isinstance(examples, Loadable):
        return examples.arrays()
    raise ValueError(
        f"{type(examples).__name__} cannot be held on the device whole, got trainer.resident=always; "
        "set trainer.resident=auto"
    )
