"""The first samples of a data set: for finding faults fast."""

from __future__ import annotations

from dataclasses import replace

import torch

from runner.data.source import Arrays, Examples, Splits


class First:
    """The first ``count`` of ``examples``."""

    def __init__(self, examples: Examples, count: int) -> None:
        self.examples = examples
        self.count = min(count, len(examples))

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[torch.Tensor, ...]:
        if index >= self.count:
            raise IndexError(index)
        return self.examples[index]


def first_samples(splits: Splits, count: int, *, train_only: bool = False) -> Splits:
    """``splits`` with at most ``count`` samples in each part; with ``train_only`` the training samples are all parts.

    Raises ``ValueError`` for a count below 1.
    """
    if count < 1:
        raise ValueError(f"debug.samples must be at least 1, got {count}")
    train = _first(splits.train, count)
    return replace(
        splits,
        train=train,
        valid=train if train_only else _first(splits.valid, count),
        test=train if train_only else _first(splits.test, count),
        notes={**splits.notes, "first_samples": count},
    )


def _first(examples: Examples, count: int) -> Examples:
    if isinstance(examples, Arrays):
        return Arrays(*(tensor[:count] for tensor in examples.tensors))
    return First(examples, count)
