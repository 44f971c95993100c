"""The largest batch size that does something. Free of torch."""

from __future__ import annotations

from collections.abc import Callable

MULTIPLE = 8  # kernels for half precision want one


def largest(fits: Callable[[int], bool], *, start: int, limit: int, multiple: int = MULTIPLE) -> int:
    """The largest batch size up to ``limit`` that ``fits``: ``start``, ``limit``, or a multiple; 0 where none does.

    What is larger than one that does not fit is taken not to fit either. ``start`` is doubled until one does not, and
    the place between the last two is found by halves. Below ``multiple`` any size counts.
    """
    good, bad = 0, min(start, limit)
    while fits(bad):
        good, bad = bad, min(2 * bad, limit)
        if good == limit:
            return limit
    while True:
        step = 1 if bad <= multiple else multiple
        middle = (good + bad) // 2 // step * step
        if middle <= good:
            middle = good // step * step + step
        if middle >= bad:
            return good
        good, bad = (middle, bad) if fits(middle) else (good, middle)
