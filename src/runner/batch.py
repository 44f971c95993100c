"""A batch is any nesting of tuples, lists and dicts of tensors that share their first dimension."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
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


def stacked(examples: Sequence[Batch], stack: Callable[[list[Tensor]], Tensor] = torch.stack) -> Batch:
    """One batch of examples that are nested alike. Raises ``ValueError`` where they are not."""
    first = examples[0]
    if isinstance(first, Tensor):
        return stack(list(examples))
    if isinstance(first, dict):
        if any(example.keys() != first.keys() for example in examples):
            raise ValueError(f"all examples of a batch must have the same keys, got {[list(one) for one in examples]}")
        return {key: stacked([example[key] for example in examples], stack) for key in first}
    if isinstance(first, (tuple, list)):
        columns = (stacked(column, stack) for column in zip(*examples, strict=True))
        return type(first)(*columns) if hasattr(first, "_fields") else type(first)(columns)
    raise ValueError(f"examples are nested tuples, lists and dicts of tensors, got {type(first).__name__}")


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
