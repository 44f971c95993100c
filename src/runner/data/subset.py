"""The first samples of a data set: for finding faults fast."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from torch.utils.data import Subset

from runner.data.source import Arrays, Examples, Splits

PARTS = ("train", "valid", "test")


def first_samples(splits: Splits, count: int, *, train_only: bool = False) -> Splits:
    """``splits`` with at most ``count`` samples in each part; with ``train_only`` the training samples are all parts.

    Of several sets the first samples of each, nearly equally many. Raises ``ValueError`` for a count below 1.
    """
    if count < 1:
        raise ValueError(f"debug.samples must be at least 1, got {count}")
    source_of = {part: "train" if train_only else part for part in PARTS}
    first = {part: _first(getattr(splits, part), splits.sets.get(part, {}), count) for part in set(source_of.values())}
    return replace(
        splits,
        train=first["train"][0],
        valid=first[source_of["valid"]][0],
        test=first[source_of["test"]][0],
        notes={**splits.notes, "first_samples": count},
        sets={part: first[source][1] for part, source in source_of.items() if first[source][1]},
    )


def _first(examples: Examples, sizes: Mapping[str, int], count: int) -> tuple[Examples, dict[str, int]]:
    """The first of a part made of sets of these ``sizes``, if it is, and how many each set has then."""
    if not sizes:
        return _chosen(examples, range(min(count, len(examples)))), {}
    each, more = divmod(count, len(sizes))
    counts = {name: min(size, each + (place < more)) for place, (name, size) in enumerate(sizes.items())}
    starts = itertools.accumulate(sizes.values(), initial=0)
    places = [start + number for start, some in zip(starts, counts.values(), strict=False) for number in range(some)]
    return _chosen(examples, places), {name: some for name, some in counts.items() if some}


def _chosen(examples: Examples, places: Sequence[int]) -> Examples:
    if isinstance(examples, Arrays):
        return Arrays(*(tensor[list(places)] for tensor in examples.tensors))
    return cast("Examples", Subset(cast("Any", examples), places))
