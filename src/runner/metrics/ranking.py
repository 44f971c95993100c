"""How well scores rank what is novel above what is normal. Needs both kinds: without, there is no number."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

Measure = Callable[[Tensor, Tensor], float]
"""Of scores float64 (N,) and whether each is of the novel kind (N,), both on the CPU."""


class Ranking(Metric):
    """``measure`` over all scores (B,) and kinds (B,) that were added, kept until then.

    Where only one kind was seen, as in a validation part of normal samples, it is an empty tensor: nothing to record.
    """

    full_state_update = False
    scores: list[Tensor]
    kinds: list[Tensor]

    def __init__(self, measure: Measure) -> None:
        super().__init__()
        self.measure = measure
        self.add_state("scores", default=[], dist_reduce_fx="cat")
        self.add_state("kinds", default=[], dist_reduce_fx="cat")

    def update(self, scores: Tensor, kinds: Tensor) -> None:
        """Raises ``ValueError`` for anything but one score and one kind for each sample."""
        if scores.ndim != 1 or kinds.shape != scores.shape:
            raise ValueError(
                f"ranks one score for each sample, got {tuple(scores.shape)} and {tuple(kinds.shape)}; "
                "set task=novelty, or leave it out of metrics"
            )
        self.scores.append(scores)
        self.kinds.append(kinds.bool())

    def compute(self) -> Tensor:
        scores, kinds = dim_zero_cat(self.scores), dim_zero_cat(self.kinds)
        if not kinds.any() or kinds.all():  # host sync
            return scores.new_zeros(0)
        measured = self.measure(scores.cpu().double(), kinds.cpu())
        widest = torch.float32 if scores.device.type == "mps" else torch.float64
        return torch.tensor(measured, dtype=widest, device=scores.device)


def area_under_roc(scores: Tensor, kinds: Tensor) -> float:
    """The probability that a novel sample scores above a normal one; ties count half."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(kinds.numpy(), scores.numpy()))


def average_precision(scores: Tensor, kinds: Tensor) -> float:
    """The precision at each novel sample's rank, in the mean."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(kinds.numpy(), scores.numpy()))


def precision_at(k: int | None) -> Measure:
    """Of the ``k`` highest scores, the fraction that are novel; None: as many as there are novel ones.

    Of equal scores those of earlier samples come first.
    """

    def measure(scores: Tensor, kinds: Tensor) -> float:
        count = min(int(kinds.sum()) if k is None else k, len(kinds))
        first = scores.argsort(descending=True, stable=True)[:count]
        return float(kinds[first].double().mean())

    return measure
