"""What a loss compares predictions with, so that a task can refuse one that does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

from torch import Tensor, nn

Targets = Literal["classes", "image", "any"]
Weight = Tensor | int

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


def weight_of(loss: nn.Module, targets: Tensor) -> Weight | Mapping[str, Weight]:
    """The weight with which a batch's loss enters a mean over batches: its samples, unless the loss says otherwise.

    One for each term, where a loss has terms.
    """
    own = getattr(loss, "weight_of", None)
    weight: Weight | Mapping[str, Weight] = len(targets) if own is None else own(targets)
    return weight


def uneven(loss: nn.Module | None, *, ignoring: bool) -> bool:
    """Whether samples count differently, so that the mean over two batches is not the mean of their means.

    ``ignoring``: there are labels that do not count.
    """
    parts = getattr(loss, "parts", None)
    alone = parts.values() if isinstance(parts, nn.ModuleDict) else (loss,)
    return any(getattr(part, "uneven", False) or (ignoring and hasattr(part, "weight_of")) for part in alone)
