"""A batch is any nesting of tuples, lists and dicts of tensors that share their first dimension."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from torch import Tensor

Batch = Any


def map_tensors(function: Callable[[Tensor], Any], batch: Batch) -> Batch:
    """The same nesting with ``function`` applied to each tensor; anything else is passed on as it is."""
    if isinstance(batch, Tensor):
        return function(batch)
    if isinstance(batch, dict):
        return {key: map_tensors(function, value) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(map_tensors(function, value) for value in batch))
    if isinstance(batch, (tuple, list)):
        return type(batch)(map_tensors(function, value) for value in batch)
    return batch


def tensors(batch: Batch) -> Iterator[Tensor]:
    """The tensors of a batch, in order."""
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, dict):
        for value in batch.values():
            yield from tensors(value)
    elif isinstance(batch, (tuple, list)):
        for value in batch:
            yield from tensors(value)


def size_of(batch: Batch) -> int:
    """The number of samples. Raises ``ValueError`` for a batch that holds no tensor."""
    for tensor in tensors(batch):
        return len(tensor)
    raise ValueError(f"a batch must hold at least one tensor, got {type(batch).__name__}")


def split(batch: Batch, parts: int) -> list[Batch]:
    """Cut a batch into at most ``parts`` pieces of nearly equal size, in order; never an empty one."""
    if parts == 1:
        return [batch]
    size = size_of(batch)
    parts = min(parts, size)
    bounds = [size * part // parts for part in range(parts + 1)]

    def piece(first: int, last: int) -> Batch:
        return map_tensors(lambda tensor: tensor[first:last], batch)

    return [piece(first, last) for first, last in pairwise(bounds)]
