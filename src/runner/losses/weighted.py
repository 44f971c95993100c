"""Several losses at once."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor, nn

from runner.losses.targets import Targets, Weight, targets_of, weight_of


class WeightedSum(nn.Module):
    """The sum of several losses of the same predictions and targets, each times its weight.

    Its terms are called after the parts: ``dice_loss`` of the part ``dice``, because there are metrics of such names.
    ``weights`` names some or all of ``parts``; the others weigh 1.
    Raises ``ValueError`` without parts, for parts that are sums themselves or compare different things, for weights of
    no part, and for weights that are negative or not finite.
    """

    def __init__(self, parts: Mapping[str, nn.Module], *, weights: Mapping[str, float] | None = None) -> None:
        super().__init__()
        weights = dict(weights or {})
        if not parts:
            raise ValueError("loss.parts is empty; name at least one loss, as conf/loss/bce_dice.yaml does")
        if unknown := sorted(weights.keys() - parts.keys()):
            raise ValueError(f"loss.weights names {', '.join(unknown)}, but loss.parts has only {', '.join(parts)}")
        for name, weight in weights.items():
            if not (weight >= 0 and math.isfinite(weight)):
                raise ValueError(f"loss.weights.{name} must not be negative, got {weight}; set it to 0 to leave it out")
        if nested := [name for name, part in parts.items() if isinstance(part, WeightedSum)]:
            raise ValueError(f"loss.parts.{nested[0]} is a weighted sum itself; name its parts in loss.parts")
        told = {name: targets_of(part) for name, part in parts.items()}
        kinds = {kind for kind in told.values() if kind != "any"}
        if len(kinds) > 1:
            listed = ", ".join(f"{name} compares with {kind}" for name, kind in told.items())
            raise ValueError(f"loss.parts must compare predictions with the same targets: {listed}")
        self.parts = nn.ModuleDict(parts)
        self.weights = {name: float(weights.get(name, 1.0)) for name in parts}
        self.targets: Targets = kinds.pop() if kinds else "any"
        self.uneven = any(getattr(part, "uneven", False) for part in parts.values())

    def forward(self, predictions: Tensor, targets: Tensor) -> dict[str, Tensor]:
        return {_term(name): self.weights[name] * part(predictions, targets) for name, part in self.parts.items()}

    def weight_of(self, targets: Tensor) -> dict[str, Weight]:
        """With class weights a term may weigh a batch otherwise than the next one does."""
        return {_term(name): _one(weight_of(part, targets)) for name, part in self.parts.items()}


def _term(part: str) -> str:
    return f"{part}_loss"


def _one(weight: Weight | Mapping[str, Weight]) -> Weight:
    assert not isinstance(weight, Mapping), "the constructor refuses sums of sums"
    return weight
