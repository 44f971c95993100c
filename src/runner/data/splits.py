"""Parts of a data set: held out once, with a seed of their own that has nothing to do with the run's."""

from __future__ import annotations

import torch
from torch import Tensor

from runner.randomness import Randomness


def largest_remainder(counts: Tensor, fraction: float) -> Tensor:
    """How many to take of each class, round(fraction * all) together: floors, then largest remainders.

    counts: int64 (classes,). A tie goes to the lower class.
    """
    quotas = counts.double() * fraction
    taken = quotas.floor().long()
    missing = round(int(counts.sum()) * fraction) - int(taken.sum())
    first = torch.argsort(quotas - taken, descending=True, stable=True)[: max(missing, 0)]
    taken[first] += 1
    return torch.minimum(taken, counts)


def hold_out(labels: Tensor, fraction: float, *, seed: int, purpose: str = "valid") -> tuple[Tensor, Tensor]:
    """Split ``range(len(labels))`` by class into (kept, held out), both ascending int64 indices.

    Each class gives the same fraction, exact by largest remainder. Which samples are held out is a function
    of (labels, fraction, seed, purpose). Raises ``ValueError`` when either part would be empty.
    """
    order = torch.randperm(len(labels), generator=Randomness(seed).generator(f"split {purpose}"))
    shuffled = labels[order]
    held = torch.zeros(len(labels), dtype=torch.bool)
    classes, counts = torch.unique(labels, return_counts=True)
    for label, count in zip(classes, largest_remainder(counts, fraction).tolist(), strict=True):
        held[order[shuffled == label][:count]] = True
    if held.all() or not held.any():
        raise ValueError(
            f"holding {fraction} of {len(labels)} samples out as the {purpose} part leaves a part empty; "
            f"set dataset.{purpose}_fraction to another share or use more data"
        )
    return (~held).nonzero()[:, 0], held.nonzero()[:, 0]
