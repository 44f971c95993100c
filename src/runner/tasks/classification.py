"""One class for each image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch import Tensor, nn

from runner.losses import targets_of, weight_of
from runner.tasks.task import Task

if TYPE_CHECKING:
    from runner.metrics import Metrics


class Classification(Task):
    """Learn labels (B,) from images (B, C, H, W) through a model that gives logits (B, K).

    Raises ``ValueError`` for a loss that compares images.
    """

    output = "classes"

    def __init__(self, model: nn.Module, loss: nn.Module) -> None:
        super().__init__()
        if targets_of(loss) == "image":
            raise ValueError(
                f"loss {type(loss).__name__} compares images, but task=classification compares class scores with "
                "labels; set loss=cross_entropy, nll, bce or focal"
            )
        self.model = model
        self.loss = loss

    def losses(self, batch: tuple[Tensor, Tensor]) -> Iterator[tuple[str, Tensor]]:
        images, labels = batch
        yield "model", self.loss(self.model(images), labels)

    def scores(self, batch: tuple[Tensor, Tensor], metrics: Metrics) -> None:
        images, labels = batch
        logits = self.model(images).float()
        metrics.mean("loss", self.loss(logits, labels), weight=weight_of(self.loss, labels))
        metrics.update(logits, labels)
