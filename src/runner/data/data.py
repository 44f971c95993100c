"""What the loop sees of data: endless training batches from any step on, and parts to evaluate."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import islice, tee
from typing import Protocol, cast

import torch

from runner.batch import Batch
from runner.data.augment import Augmentation, ExampleAugmentation, NoAugmentation, check_changes
from runner.data.order import TrainingOrder, evaluation_order
from runner.data.placement import check_resident, placed, whole
from runner.data.prepare import ALL, Prepare
from runner.data.resident import Feed, Hosted, Resident
from runner.data.source import Examples, Splits
from runner.data.streamed import Streamed
from runner.randomness import Randomness
from runner.ranks import Alone, Ranked


class TrainingData(Protocol):
    """What ``train`` and ``evaluate`` need. A part that does not exist has size 0 and no batches."""

    @property
    def steps_per_epoch(self) -> int: ...

    def train(self, first_step: int = 0) -> Generator[Batch, None, None]:
        """Endless batches on the device, beginning with the one that step ``first_step`` + 1 is made of."""
        ...

    def part(self, name: str) -> Iterator[Batch]:
        """Each sample of "valid" or "test" once, or of one of its sets ("valid/near"), in order, never augmented."""
        ...

    def size(self, name: str) -> int:
        """Samples in "train", "valid" or "test"."""
        ...


class Data:
    """The parts of a loaded data set for one device: kept there, beside it, or streamed, with the same batches.

    ``resident`` is that of ``placed``, and ``places`` what came of it. Without ``mean`` and ``std`` in the splits
    images are only scaled. Of several ``ranks`` each gets its rows of every batch. Where a part is made of several
    sets, "valid/near" names one of them.
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
        channels_last: bool = False,
        ranks: Ranked | None = None,
    ) -> None:
        check_batch_size(batch_size, len(splits.train))
        augmentation = augmentation or NoAugmentation()
        check_changes(augmentation, splits.spec)
        check_resident(resident, augmentation)
        self.sets = splits.sets
        self.order = TrainingOrder.of(splits, batch_size)
        self.eval_batch_size = eval_batch_size or batch_size
        self.randomness = randomness
        self.ranks = ranks or Alone()
        self.prepare = Prepare(
            splits.mean or None,
            splits.std or None,
            spec=splits.spec,
            augmentation=augmentation,
            randomness=randomness,
            device=device,
            channels_last=channels_last,
        )
        parts = {"train": splits.train, "valid": splits.valid, "test": splits.test}
        self.places = placed(parts, device, resident=resident, augmentation=augmentation)

        def feed(name: str, examples: Examples) -> Feed:
            if self.places[name] != "never":
                return (Resident if self.places[name] == "device" else Hosted)(whole(examples), device)
            own = augmentation if name == "train" and augmentation.per_example else None
            own = cast("ExampleAugmentation | None", own)
            return Streamed(examples, device, randomness=randomness, workers=workers, augmentation=own)

        self.feeds = {name: feed(name, examples) for name, examples in parts.items()}

    @property
    def steps_per_epoch(self) -> int:
        return self.order.steps_per_epoch

    def size(self, name: str) -> int:
        return len(self._places(name))

    def samples_at(self, step: int) -> int:
        """Samples, over all ranks, of the training batch after ``step`` completed steps."""
        return self.order.samples_at(step)

    def train(self, first_step: int = 0) -> Generator[Batch, None, None]:
        return self._train(first_step)

    def first(self, name: str) -> Batch:
        """The first batch of "train" (what step 1 is made of), "valid" or "test"; of several sets that of the first.

        No process is started to read it.
        """
        if name == "train":
            return next(self._train(0, workers=0, count=1))
        sets = list(self.sets.get(name, ()))
        order = evaluation_order(self._places(f"{name}/{sets[0]}" if sets else name), self.eval_batch_size)
        return self.prepare.evaluate(next(self.feeds[name].batches(islice(order, 1), workers=0)))

    def _train(
        self, first_step: int, *, workers: int | None = None, count: int | None = None
    ) -> Generator[Batch, None, None]:
        order = self.order.batches(randomness=self.randomness, first_step=first_step)
        read, prepared = tee(islice(order, count))
        own, per_epoch = self.ranks.rows, self.steps_per_epoch
        batches = self.feeds["train"].batches(read, first_step=first_step, workers=workers, rows=own)
        for step, (batch, indices) in enumerate(zip(batches, prepared, strict=False), first_step):
            epoch, rows = step // per_epoch, ALL if own is None else own(len(indices))
            yield self.prepare.train(batch, step, epoch=epoch, indices=indices, rows=rows)

    def part(self, name: str) -> Iterator[Batch]:
        order = self.ranks.present(evaluation_order(self._places(name), self.eval_batch_size))
        for batch in self.feeds[name.partition("/")[0]].batches(order, rows=self.ranks.rows):
            yield self.prepare.evaluate(batch)

    def _places(self, name: str) -> range:
        """Where the samples of a part, or of one of its sets, stand in the part."""
        part, _, of_set = name.partition("/")
        if not of_set:
            return range(len(self.feeds[part]))
        names, sizes = list(self.sets[part]), list(self.sets[part].values())
        place = names.index(of_set)
        return range(sum(sizes[:place]), sum(sizes[: place + 1]))


def check_batch_size(batch_size: int, size: int, *, setting: str = "trainer.batch_size") -> None:
    if batch_size < 1:
        raise ValueError(f"{setting} must be at least 1, got {batch_size}; set {setting}=<n>")
    if batch_size > size:
        raise ValueError(
            f"{setting}={batch_size} is larger than the training part ({size} samples); set {setting} to at most {size}"
        )
