"""The weights of the losses that a detector computes itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from torch import Tensor, nn


class DetectorLoss(nn.Module):
    """The losses of a detector, each times its weight, by their names; one without a weight, or with None, weighs 1.

    Raises ``ValueError`` for weights that are negative or not finite.
    """

    targets = "boxes"

    def __init__(self, weights: Mapping[str, float | None] | None = None) -> None:
        super().__init__()
        self.weights = {name: float(weight) for name, weight in (weights or {}).items() if weight is not None}
        for name, weight in self.weights.items():
            if not (weight >= 0 and math.isfinite(weight)):
                raise ValueError(f"loss.weights.{name} must not be negative, got {weight}; set it to 0 to leave it out")

    def require(self, names: Sequence[str]) -> None:
        """Raises ``ValueError`` for the weight of a loss that is not among ``names``, those of the detector."""
        if unknown := sorted(self.weights.keys() - set(names)):
            raise ValueError(
                f"loss.weights names {', '.join(unknown)}, but the detector's losses are {', '.join(names)}; "
                f"set loss.weights.{unknown[0]}=null"
            )

    def forward(self, losses: Mapping[str, Tensor], *compared: Tensor) -> dict[str, Tensor]:
        """Raises ``ValueError`` where a task gives it predictions and targets to compare."""
        if compared:
            raise ValueError("loss=detector weighs what a detector computes itself; it is for task=detection")
        return {name: self.weights.get(name, 1.0) * loss for name, loss in losses.items()}
