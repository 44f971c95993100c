"""What users write: models that do not fit, models that break, observers that interrupt."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from runner.metrics import Metrics
from runner.observers.observer import EvaluationRecord, Outcome, RunInfo, StepRecord
from runner.tasks import Task


class Linear(nn.Module):
    """Adapts to the data."""

    def __init__(self, *, in_channels: int, image_size: tuple[int, int], num_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size[0] * image_size[1], num_classes))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layers(images)
        return logits


class Wide(Linear):
    """Wants to be told something that no data can say."""

    def __init__(self, *, width: int, in_channels: int, image_size: tuple[int, int], num_classes: int) -> None:
        super().__init__(in_channels=in_channels * width // width, image_size=image_size, num_classes=num_classes)


class WrongShape(nn.Module):
    """Was written for other images."""

    def __init__(self, *, num_classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(7, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layer(images.flatten(1))
        return logits


class Picky(nn.Module):
    """Works for most numbers."""

    def __init__(self, number: int, *, image_size: tuple[int, int], num_classes: int, numbers: object = None) -> None:  # noqa: ARG002
        super().__init__()
        if number == 7:
            raise ValueError("a number needs two digits")
        if number == 99:
            raise KeyError("no block 99")
        features = number if number == 42 else image_size[0] * image_size[1]
        self.layer = nn.Linear(features, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layer(images.flatten(1))
        return logits


class Normed(Linear):
    """Averages over the batch, for which one sample is not enough."""

    def __init__(self, *, in_channels: int, image_size: tuple[int, int], num_classes: int) -> None:
        super().__init__(in_channels=in_channels, image_size=image_size, num_classes=num_classes)
        self.layers.append(nn.BatchNorm1d(num_classes))


class Unbuildable(nn.Module):
    def __init__(self) -> None:
        raise KeyError("no such block")


class Untrained(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :10]


class BreaksAtStepTwo(Linear):
    """Is well until the second training batch; then a mistake of its own shows."""

    calls = 0

    def forward(self, images: Tensor) -> Tensor:
        if self.training and not images.is_meta:
            self.calls += 1
            if self.calls == 2:
                raise ValueError("the lookup table has no entry for 17")
        return super().forward(images)


class ReadsAFile(Linear):
    """From its third training batch on it cannot do without the file "lookup.txt"."""

    calls = 0

    def forward(self, images: Tensor) -> Tensor:
        if self.training and not images.is_meta:
            self.calls += 1
            if self.calls >= 3:
                Path("lookup.txt").read_text()
        return super().forward(images)


class ExplodesAtStepTwo(Linear):
    """Its second training batch gives what no optimizer can use."""

    calls = 0

    def forward(self, images: Tensor) -> Tensor:
        logits = super().forward(images)
        if self.training and not images.is_meta:
            self.calls += 1
            if self.calls == 2:
                return logits * torch.inf
        return logits


class Four(Linear):
    """Four numbers an image."""

    def __init__(self, *, in_channels: int, image_size: tuple[int, int]) -> None:
        super().__init__(in_channels=in_channels, image_size=image_size, num_classes=4)


class Embedding(Task):
    """Learns from the images alone, to keep them apart."""

    def __init__(self, model: nn.Module, loss: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.loss = loss  # unused

    def losses(self, batch: tuple[Tensor, Tensor]) -> Iterator[tuple[str, Tensor]]:
        yield "model", -self.model(batch[0]).var()

    def scores(self, batch: tuple[Tensor, Tensor], metrics: Metrics) -> None:
        metrics.mean("loss", -self.model(batch[0]).var(), weight=len(batch[0]))


class LooksAtPixels(Linear):
    """Does what depends on values, which tensors without content lack."""

    def forward(self, images: Tensor) -> Tensor:
        if images.sum().item() > 0:
            images = images * 2
        return super().forward(images)


class PerSample(nn.Module):
    """A loss that forgot its mean."""

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return nn.functional.cross_entropy(logits, labels, reduction="none")


class PressesCtrlC:
    """An observer that is impatient after ``step`` steps."""

    def __init__(self, step: int = 1, *, terminates: bool = False) -> None:
        self.step = step
        self.signal = signal.SIGTERM if terminates else signal.SIGINT

    def started(self, run: RunInfo) -> None: ...

    def logged(self, record: StepRecord) -> None:
        if record.step == self.step:
            os.kill(os.getpid(), self.signal)

    def evaluated(self, record: EvaluationRecord) -> None: ...

    def finished(self, outcome: Outcome) -> None: ...


NUMBER = 3.5
