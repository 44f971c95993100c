"""A task of one's own: what is minimised is not what is scored."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from runner import Metrics, Task


class Mixup(Task):
    """Classification, trained on blends of two images whose losses are blended alike; scored on plain images.

    Zhang et al., "mixup: beyond empirical risk minimization" (2018). The share of one image is drawn from
    Beta(alpha, alpha), once a batch. It may draw from torch's own generators: they are a function of (seed, step)
    here, so the run still repeats to the bit.
    Raises ``ValueError`` for an ``alpha`` that is not positive.
    """

    def __init__(self, model: nn.Module, loss: nn.Module, *, alpha: float = 0.2) -> None:
        super().__init__()
        if alpha <= 0:
            raise ValueError(f"task.alpha must be positive, got {alpha}; task=classification does not blend")
        self.model = model
        self.loss = loss
        self.alpha = alpha

    def losses(self, batch: tuple[Tensor, Tensor]) -> Iterator[tuple[str, Tensor]]:
        images, labels = batch
        share = torch.distributions.Beta(self.alpha, self.alpha).sample()
        other = torch.randperm(len(images), device=images.device)
        logits = self.model(share * images + (1 - share) * images[other])
        yield "model", share * self.loss(logits, labels) + (1 - share) * self.loss(logits, labels[other])

    def scores(self, batch: tuple[Tensor, Tensor], metrics: Metrics) -> None:
        images, labels = batch
        logits = self.model(images).float()
        metrics.mean("loss", self.loss(logits, labels), weight=len(labels))
        metrics.update(logits, labels)
