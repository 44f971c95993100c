"""A mean over seeds and what it is worth: Student's t. Free of torch; scipy comes when the first interval is asked."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """The mean of ``n`` values, and half the width of its 95 % confidence interval.

    ``half`` is None where there is no interval: for fewer than two values, and for values that are not finite, whose
    mean is NaN.
    """

    n: int
    mean: float
    half: float | None

    @property
    def low(self) -> float | None:
        return None if self.half is None else self.mean - self.half

    @property
    def high(self) -> float | None:
        return None if self.half is None else self.mean + self.half


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and interval of independent values. Nothing is dropped: one NaN makes the mean NaN."""
    n = len(values)
    if n == 0 or not all(math.isfinite(value) for value in values):
        return Estimate(n, math.nan, None)
    mean = math.fsum(values) / n
    if n == 1:
        return Estimate(n, mean, None)
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    return Estimate(n, mean, quantile(n - 1) * math.sqrt(variance / n))


@functools.lru_cache
def quantile(degrees: int) -> float:
    """Of Student's t with so many degrees of freedom: 95 % lie within plus and minus it."""
    from scipy.special import stdtrit  # scipy.stats has it, too, and takes seconds to import

    return float(stdtrit(degrees, (1 + CONFIDENCE) / 2))
