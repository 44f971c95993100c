"""What a loss compares predictions with, so that a task can refuse one that does not fit."""

from __future__ import annotations

from typing import Literal, cast

from torch import Tensor, nn

Targets = Literal["classes", "image", "any"]

_OF_TORCH: dict[Targets, tuple[type[nn.Module], ...]] = {
    "classes": (nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss),
    "image": (nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss),
}


def targets_of(loss: nn.Module) -> Targets:
    """ "classes" for a loss on class scores and labels, "image" for one on two images, "any" for one that
    takes both.

    A loss says so in an attribute ``targets``; torch's own are known; of others nothing is known, so "any".
    """
    if hasattr(loss, "targets"):
        return cast(Targets, loss.targets)
    return next((targets for targets, kinds in _OF_TORCH.items() if isinstance(loss, kinds)), "any")


def weight_of(loss: nn.Module, targets: Tensor) -> Tensor | int:
    """The weight with which a batch's loss enters a mean over batches: its samples, unless the loss says otherwise."""
    own = getattr(loss, "weight_of", None)
    weight: Tensor | int = len(targets) if own is None else own(targets)
    return weight
