"""A loss of one's own: a plain ``nn.Module`` of (predictions, targets)."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn


class Poly1CrossEntropy(nn.Module):
    """Cross-entropy plus ``epsilon`` * (1 - p) of the label's probability p, as a mean over the batch.

    Leng et al., "PolyLoss: a polynomial expansion perspective of classification loss functions" (2022).
    """

    targets: ClassVar[str] = "classes"  # so that task=reconstruction refuses it; may be left out

    def __init__(self, *, epsilon: float = 1.0) -> None:
        super().__init__()
        self.epsilon = epsilon

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        losses = F.cross_entropy(logits, labels, reduction="none")  # -log(p)
        return (losses + self.epsilon * -(-losses).expm1()).mean()
