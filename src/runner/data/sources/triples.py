"""Settings of volumes that have a number for each of depth, height and width. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence

from runner.data.source import Problem
from runner.data.sources.settings import whole_number

Triple = int | Sequence[int]


def triple(value: Triple) -> tuple[int, int, int]:
    """(depth, height, width); one number stands for three."""
    depth, height, width = (value,) * 3 if isinstance(value, int) else value
    return (depth, height, width)


def triple_problems(at_least: int, **values: object) -> list[Problem]:
    """One for each value that is neither a whole number from ``at_least`` nor three of them."""

    def fits(value: object) -> bool:
        numbers = list(value) if isinstance(value, list | tuple) else [value] * 3
        return len(numbers) == 3 and all(whole_number(number, at_least=at_least) for number in numbers)

    text = f"must be voxels or [depth, height, width], at least {at_least}, got"
    return [
        Problem(key, value, f"{text} {value!r}", f"set dataset.{key}={max(at_least, 32 * at_least)}")
        for key, value in values.items()
        if not fits(value)
    ]
