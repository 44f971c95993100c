"""How numbers are written: as many digits as their uncertainty leaves."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from runner.results.report.statistics import Estimate

NOTHING = "–"
DIGITS = 4  # significant ones, where no interval says how many mean something
DECIMALS = range(7)
ROUNDING = 1e-12  # of a mean: what seeds that scored the same differ by


@dataclass(frozen=True)
class Notation:
    """One number of decimals for a whole column; None leaves each number its own four digits."""

    decimals: int | None

    @classmethod
    def of(cls, column: Iterable[Estimate]) -> Notation:
        """Two digits of the smallest interval that is more than rounding."""
        halves = [found.half for found in column if found.half and found.half > ROUNDING * abs(found.mean)]
        if not halves:
            return cls(None)
        decimals = 1 - math.floor(math.log10(min(halves)))
        return cls(min(max(decimals, DECIMALS[0]), DECIMALS[-1]))

    def __call__(self, value: float) -> str:
        if not math.isfinite(value):
            return str(value)
        if self.decimals is None or abs(value) >= 1e6:
            return f"{value:.{DIGITS}g}"
        return f"{value:.{self.decimals}f}"

    def estimate(self, found: Estimate) -> str:
        """``0.9734 ± 0.0021``, or ``0.9734 (n=1)``."""
        if not found.n:
            return NOTHING
        if found.half is None:
            return f"{self(found.mean)} (n=1)" if found.n == 1 else self(found.mean)
        half = self(found.half)
        vanished = found.half > 0 and float(half) == 0
        return f"{self(found.mean)} ± {f'{found.half:.1g}' if vanished else half}"

    def difference(self, found: Estimate) -> str:
        """As an estimate, with its sign."""
        text = self.estimate(found)
        return f"+{text}" if found.mean > 0 else text


def duration(seconds: float | None) -> str:
    """``0:01:23``: hours, minutes, seconds."""
    if seconds is None:
        return NOTHING
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
