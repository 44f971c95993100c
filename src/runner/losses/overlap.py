"""Losses on how much predicted and true regions have in common: logits (B, K, *S) and labels (B, *S).

Each is measured for each sample and class, and then averaged; a softmax makes probabilities of the logits. Sums are
always of float32. Places with the label ``ignore_index`` count neither as predicted nor as true.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn


class Overlap(nn.Module):
    """Holds which places and classes count; ``smooth``, in pixels, is added to both sides of each quotient, so that a
    class that is neither there nor predicted is a full overlap.

    Raises ``ValueError`` for a ``smooth`` that is not positive.
    """

    targets: ClassVar[str] = "classes"

    def __init__(self, *, smooth: float, background: bool, ignore_index: int) -> None:
        super().__init__()
        if smooth <= 0:
            raise ValueError(f"loss.smooth must be above 0, got {smooth}; set loss.smooth=1.0")
        self.smooth = smooth
        self.background = background
        self.ignore_index = ignore_index

    def compared(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities and truth, float32 (B, K, *S), 0 at ignored places; without ``background`` from class 1 on.

        Raises ``ValueError`` for shapes that do not fit.
        """
        if logits.ndim < 3 or labels.shape != logits.shape[:1] + logits.shape[2:]:
            raise ValueError(
                f"{type(self).__name__} compares scores of pixels (B, K, ...) with labels (B, ...), got "
                f"{tuple(logits.shape)} and {tuple(labels.shape)}; set task=segmentation"
            )
        kept = (labels != self.ignore_index).unsqueeze(1)
        probabilities = logits.float().softmax(1) * kept
        truth = torch.zeros_like(probabilities).scatter(1, labels.unsqueeze(1).where(kept, 0), 1.0) * kept
        first = 0 if self.background else 1
        return probabilities[:, first:], truth[:, first:]


def sum_over_places(values: Tensor) -> Tensor:
    """(B, K, *S) over all places: (B, K)."""
    return values.flatten(2).sum(2)


class Dice(Overlap):
    """1 - 2 Σpg / (Σp² + Σg²), of probabilities p and truth g.

    Milletari et al., "V-Net: fully convolutional neural networks for volumetric medical image segmentation" (2016),
    section 3, here as a mean over classes. With ``squared`` false the denominator is Σp + Σg.
    """

    def __init__(
        self, *, squared: bool = True, smooth: float = 1.0, background: bool = True, ignore_index: int = -100
    ) -> None:
        super().__init__(smooth=smooth, background=background, ignore_index=ignore_index)
        self.squared = squared

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        p, g = self.compared(logits, labels)
        return 1 - soft_dice(p, g, squared=self.squared, smooth=self.smooth).mean()


def soft_dice(p: Tensor, g: Tensor, *, squared: bool, smooth: float) -> Tensor:
    """(B, K) of probabilities and truth (B, K, *S)."""
    sizes = sum_over_places(p * p + g * g) if squared else sum_over_places(p + g)
    return (2 * sum_over_places(p * g) + smooth) / (sizes + smooth)


class GeneralisedDice(Overlap):
    """1 - 2 Σ_k w_k Σpg / Σ_k w_k Σ(p + g), where a class weighs w = 1 / (Σg)²: small regions count as large ones do.

    Sudre et al., "Generalised Dice overlap as a loss function for highly unbalanced segmentations" (2017), section 2.
    A class that a sample lacks weighs as much as the smallest one that it has, as in the authors' code (NiftyNet).
    """

    def __init__(self, *, smooth: float = 1e-5, background: bool = True, ignore_index: int = -100) -> None:
        super().__init__(smooth=smooth, background=background, ignore_index=ignore_index)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        p, g = self.compared(logits, labels)
        sizes = sum_over_places(g)
        weights = torch.where(sizes > 0, 1 / sizes.clamp(min=1) ** 2, 0.0)
        weights = weights.where(sizes > 0, weights.amax(1, keepdim=True))
        both, all_of_them = (weights * sum_over_places(p * g)).sum(1), (weights * sum_over_places(p + g)).sum(1)
        return 1 - ((2 * both + self.smooth) / (all_of_them + self.smooth)).mean()


class Tversky(Overlap):
    """1 - Σpg / (Σpg + α Σp(1 - g) + β Σ(1 - p)g): ``alpha`` weighs what is found too much, ``beta`` what is missed.

    Salehi et al., "Tversky loss function for image segmentation using 3D fully convolutional deep networks" (2017),
    equation 3, with the weights that the authors found best. 0.5 for both is Dice.
    Raises ``ValueError`` for weights that are negative.
    """

    def __init__(
        self,
        *,
        alpha: float = 0.3,
        beta: float = 0.7,
        smooth: float = 1.0,
        background: bool = True,
        ignore_index: int = -100,
    ) -> None:
        super().__init__(smooth=smooth, background=background, ignore_index=ignore_index)
        for name, value in (("alpha", alpha), ("beta", beta)):
            if value < 0:
                raise ValueError(f"loss.{name} must not be negative, got {value}; set loss.{name}=0.5")
        self.alpha, self.beta = alpha, beta

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        p, g = self.compared(logits, labels)
        both = sum_over_places(p * g)
        too_much, missed = sum_over_places(p) - both, sum_over_places(g) - both
        index = (both + self.smooth) / (both + self.alpha * too_much + self.beta * missed + self.smooth)
        return 1 - index.mean()
