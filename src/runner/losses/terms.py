"""A loss is one number, or named terms that are added up: each is then logged beside their sum."""

from __future__ import annotations

from functools import reduce
from operator import add

import torch
from torch import Tensor

Loss = Tensor | dict[str, Tensor]


def total(loss: Loss) -> Tensor:
    """What is minimised: the loss itself, or the sum of its terms."""
    return loss if isinstance(loss, Tensor) else reduce(add, loss.values())


def detached(loss: Loss) -> Tensor:
    """The loss without its graph: one number (), or (1 + terms,), the sum first."""
    if isinstance(loss, Tensor):
        return loss.detach()
    return torch.stack([total(loss), *loss.values()]).detach()


def named(loss: Loss) -> tuple[str, ...]:
    """The names of the terms. Raises ``ValueError`` where there are none, and for one that a sum has already."""
    if isinstance(loss, Tensor):
        return ()
    if not loss or "loss" in loss:
        raise ValueError(f"a loss needs at least one term, and none called 'loss', got {', '.join(loss) or 'none'}")
    return tuple(loss)
