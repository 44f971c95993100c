"""Autoencoders: give back what came in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch import Tensor, nn

from runner.batch import Batch, tensors
from runner.losses import BinaryCrossEntropy, targets_of
from runner.tasks.task import Task

if TYPE_CHECKING:
    from runner.metrics import Metrics


class Reconstruction(Task):
    """Learn a code from which images (B, C, H, W) can be rebuilt; labels, where there are any, are not looked at.

    Hinton and Salakhutdinov, "Reducing the dimensionality of data with neural networks" (2006).
    Raises ``ValueError`` for a loss that compares scores with labels.
    """

    output = "image"

    def __init__(self, model: nn.Module, loss: nn.Module) -> None:
        super().__init__()
        if targets_of(loss) == "classes" or isinstance(loss, BinaryCrossEntropy):
            raise ValueError(
                f"loss {type(loss).__name__} compares scores with labels, but task=reconstruction compares images; "
                "set loss=mse, l1 or smooth_l1"
            )
        self.model = model
        self.loss = loss

    def losses(self, batch: Batch) -> Iterator[tuple[str, Tensor]]:
        images = next(tensors(batch))
        yield "model", self.loss(self.model(images), images)

    def scores(self, batch: Batch, metrics: Metrics) -> None:
        images = next(tensors(batch))
        rebuilt = self.model(images).float()
        metrics.mean("loss", self.loss(rebuilt, images), weight=len(images))
        metrics.update(rebuilt, images)

    def pictures(self, batch: Batch) -> dict[str, Tensor]:
        images = next(tensors(batch))
        return {"input": images, "reconstruction": self.model(images)}
