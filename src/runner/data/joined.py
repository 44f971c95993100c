"""Several sets of examples, one behind the other, as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch.utils.data import ConcatDataset

from runner.data.resident import Loadable
from runner.data.source import Arrays, Examples


def joined(sets: Sequence[Examples]) -> Examples:
    """All examples of the first of ``sets``, then those of the next: ``Arrays`` or ``Loadable`` if all of them are."""
    if len(sets) == 1:
        return sets[0]
    if all(isinstance(examples, Arrays) for examples in sets):
        return _as_arrays(sets)
    kind = Kept if all(isinstance(examples, Arrays | Loadable) for examples in sets) else ConcatDataset
    return cast("Examples", kind(cast("Any", sets)))


class Kept(ConcatDataset[tuple[torch.Tensor, ...]]):
    """``Loadable``: sets that may be read once and kept."""

    @property
    def nbytes(self) -> int:
        return sum(
            sum(tensor.nbytes for tensor in examples.tensors) if isinstance(examples, Arrays) else examples.nbytes
            for examples in cast("list[Any]", self.datasets)
        )

    def arrays(self) -> Arrays:
        return _as_arrays(cast("list[Any]", self.datasets))


def _as_arrays(sets: Sequence[Any]) -> Arrays:
    tensors = [(examples if isinstance(examples, Arrays) else examples.arrays()).tensors for examples in sets]
    return Arrays(*(torch.cat(column) for column in zip(*tensors, strict=True)))
