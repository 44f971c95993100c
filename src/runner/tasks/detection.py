"""Boxes about the objects in an image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from runner.losses import DetectorLoss
from runner.losses.terms import Loss
from runner.tasks.boxes import lines
from runner.tasks.overlays import overlay
from runner.tasks.task import Task

if TYPE_CHECKING:
    from runner.metrics import Metrics

Boxes = tuple[Tensor, Tensor, Tensor]


@runtime_checkable
class BoxModel(Protocol):
    """``model(images, boxes, labels)`` gives a loss for each of ``loss_names``, and ``model(images)`` what is found,
    (B, D, 6): a box, its score and its class in each row, zeros behind the last one.
    """

    loss_names: tuple[str, ...]


class Detection(Task):
    """Learn boxes (B, M, 4), x1, y1, x2, y2 in pixels, and their classes (B, M) in 1..K, from images (B, C, H, W).

    Both are 0 where an image has no more boxes. The losses are the detector's own, weighted by ``loss`` and logged by
    name. With micro-batches they are the means over those: a two-stage detector divides by how many proposals it
    sampled in each. Pictures show detections with a score from ``shown_score``.
    Raises ``ValueError`` for a model that finds no boxes, another loss, weights of losses that the model lacks, and a
    ``shown_score`` outside of [0, 1].
    """

    output = "boxes"
    examples = ("images with boxes",)

    def __init__(self, model: nn.Module, loss: nn.Module, *, shown_score: float = 0.5) -> None:
        super().__init__()
        if not isinstance(model, BoxModel):
            raise ValueError(
                f"task=detection needs a model that finds boxes, got {type(model).__name__}; "
                "set model=fasterrcnn_mobilenet or retinanet"
            )
        if not isinstance(loss, DetectorLoss):
            raise ValueError(
                f"task=detection minimises its model's own losses, got loss {type(loss).__name__}; set loss=detector"
            )
        loss.require(model.loss_names)
        if not 0 <= shown_score <= 1:
            raise ValueError(f"task.shown_score must lie in [0, 1], got {shown_score}; set task.shown_score=0.5")
        self.model: nn.Module = model
        self.loss = loss
        self.shown_score = shown_score

    def losses(self, batch: Boxes) -> Iterator[tuple[str, Loss]]:
        yield "model", self.loss(self.model(*batch))

    def scores(self, batch: Boxes, metrics: Metrics) -> None:
        images, boxes, labels = batch
        metrics.loss(self.loss(self.model(*batch)), weight=len(images))
        metrics.update(self.model(images), torch.cat([boxes, labels.unsqueeze(2)], 2))

    def pictures(self, batch: Boxes) -> dict[str, Tensor]:
        images, boxes, labels = batch
        found, size = self.model(images), images.shape[2:]
        classes = found[..., 5].long().where(found[..., 4] >= self.shown_score, 0)
        detected = lines(found[..., :4], classes, image_size=size)
        return {"boxes": overlay(images, lines(boxes, labels, image_size=size)), "detected": overlay(images, detected)}
