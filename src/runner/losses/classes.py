"""Losses on class scores (B, K) or (B, K, H, W) and labels (B,) or (B, H, W), as means over the labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class _Weighted(nn.Module):
    """Holds one weight a class, or none. Raises ``ValueError`` for another number of them, or a negative one."""

    targets: ClassVar[str] = "classes"
    weight: Tensor | None
    ignore_index: int

    def __init__(self, name: str, weight: Sequence[float] | None, num_classes: int | None) -> None:
        super().__init__()
        if weight is not None and num_classes is not None and len(weight) != num_classes:
            raise ValueError(f"loss.{name} needs one number for each of {num_classes} classes, got {len(weight)}")
        if weight is not None and min(weight) < 0:
            raise ValueError(f"loss.{name} must not be negative, got {min(weight)}")
        tensor = None if weight is None else torch.tensor(weight, dtype=torch.float32)
        self.register_buffer("weight", tensor, persistent=False)  # the configuration knows it

    @property
    def uneven(self) -> bool:
        """Whether samples count differently, so that the mean over two batches is not the mean of their means."""
        return self.weight is not None or self.ignore_index >= 0

    def weight_of(self, labels: Tensor) -> Tensor:
        """What the mean over ``labels`` was divided by: the weight with which it enters a mean over batches."""
        kept = labels != self.ignore_index
        if self.weight is None:
            return kept.sum()
        return self.weight[labels.where(kept, 0)].where(kept, 0).sum()


class CrossEntropy(_Weighted):
    """Cross-entropy on logits. The mean is weighted by the labels' weights; ``ignore_index`` is left out.

    Raises ``ValueError`` for weights that do not fit and smoothing outside [0, 1].
    """

    def __init__(
        self,
        *,
        weight: Sequence[float] | None = None,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
        num_classes: int | None = None,
    ) -> None:
        super().__init__("weight", weight, num_classes)
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"loss.label_smoothing must lie in [0, 1], got {label_smoothing}")
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(
            logits,
            labels,
            weight=self.weight,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
        )


class NegativeLogLikelihood(_Weighted):
    """The negative log-likelihood of the labels, from logits, or from a model that ends in ``log_softmax``.

    Raises ``ValueError`` for weights that do not fit.
    """

    def __init__(
        self,
        *,
        from_logits: bool = True,
        weight: Sequence[float] | None = None,
        ignore_index: int = -100,
        num_classes: int | None = None,
    ) -> None:
        super().__init__("weight", weight, num_classes)
        self.from_logits = from_logits
        self.ignore_index = ignore_index

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        log_probabilities = scores.log_softmax(dim=1) if self.from_logits else scores
        return F.nll_loss(log_probabilities, labels, weight=self.weight, ignore_index=self.ignore_index)


class Focal(_Weighted):
    """Cross-entropy that counts easy samples less, by (1 - p) ** gamma of the label's probability p.

    Lin et al., "Focal loss for dense object detection" (2017), with a softmax over K classes and ``alpha`` as
    a weight for each class. The mean is over all labels that are not ``ignore_index``, whatever their
    weights.
    Raises ``ValueError`` for weights that do not fit and a negative ``gamma``.
    """

    def __init__(
        self,
        *,
        gamma: float = 2.0,
        alpha: Sequence[float] | None = None,
        ignore_index: int = -100,
        num_classes: int | None = None,
    ) -> None:
        super().__init__("alpha", alpha, num_classes)
        if gamma < 0:
            raise ValueError(f"loss.gamma must not be negative, got {gamma}; 0 is cross-entropy")
        self.gamma = gamma
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        kept = labels != self.ignore_index
        chosen = labels.where(kept, 0).unsqueeze(1)
        log_p = logits.log_softmax(dim=1).gather(1, chosen).squeeze(1)
        doubt = (-log_p.expm1()).clamp(min=torch.finfo(log_p.dtype).tiny)  # 1 - p; at 0 the power has no slope
        losses = -(doubt**self.gamma) * log_p
        if self.weight is not None:
            losses = losses * self.weight[labels.where(kept, 0)]
        return losses.where(kept, 0).sum() / kept.sum()

    def weight_of(self, labels: Tensor) -> Tensor:
        return (labels != self.ignore_index).sum()


class BinaryCrossEntropy(nn.Module):
    """Binary cross-entropy on logits, as a mean over all of them.

    Targets in the shape of the logits are used as they are (real or fake, pixels in [0, 1]); labels (B,) or
    (B, H, W) against logits (B, K) or (B, K, H, W) become one-hot, or with K = 1 are themselves the target. Places
    labelled ``ignore_index`` add nothing to this mean.
    Raises ``ValueError`` for shapes that fit neither way.
    """

    targets: ClassVar[str] = "any"

    def __init__(self, *, ignore_index: int = -100) -> None:
        super().__init__()
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        kept = None
        if targets.shape != logits.shape:
            targets, kept = _one_hot(logits, targets, ignore_index=self.ignore_index)
        if not targets.is_floating_point():
            targets = targets.to(logits.dtype)
        return F.binary_cross_entropy_with_logits(logits, targets, weight=None if kept is None else kept.to(logits))


def _one_hot(logits: Tensor, labels: Tensor, *, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Targets in the shape of the logits, and which places count: bool (B, 1) or (B, 1, H, W)."""
    if logits.ndim < 2 or labels.shape != logits.shape[:1] + logits.shape[2:]:
        raise ValueError(
            f"loss=bce needs targets shaped as the logits {tuple(logits.shape)}, or labels of that shape without "
            f"the second dimension, got {tuple(labels.shape)}"
        )
    kept = labels != ignore_index
    labels, kept = labels.where(kept, 0).unsqueeze(1), kept.unsqueeze(1)
    if logits.size(1) == 1:
        return labels, kept
    return torch.zeros_like(logits).scatter(1, labels.long(), 1.0), kept
