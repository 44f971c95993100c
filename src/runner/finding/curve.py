"""What a learning-rate range test shows: the loss as the rate grows. Free of torch."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SMOOTHING = 0.9  # of the moving average, which lags by ten steps
STEPS_A_DECADE = 10  # of rates at least: what it lags by is then no more
LEAST_STEPS = 20
DIVERGED = 4.0  # times the best smoothed loss
FIRST = 0.1  # of the steps: their mean is where the loss begins, and no best one is looked for among them
FALLS = 4.0  # standard errors: noise alone looks like more in about one test of a hundred, or fewer, however short
LEAST_FALL = 1e-3  # of where it begins
BELOW_LOWEST = 10.0
COLUMNS = ("step", "lr", "loss", "smoothed_loss")


class NotFound(ValueError):
    """A range test that names no learning rate."""


@dataclass(frozen=True)
class Ramp:
    """The rates of a range test: one for each of ``steps`` steps, evenly apart in their logarithm.

    Raises ``ValueError`` for rates that do not grow, and for steps too few to show a curve.
    """

    from_lr: float = 1e-7
    to_lr: float = 10.0
    steps: int = 100

    def __post_init__(self) -> None:
        if not 0 < self.from_lr < self.to_lr < math.inf:
            raise ValueError(f"from_lr={self.from_lr:g}: must be positive, and less than to_lr={self.to_lr:g}")
        decades = math.log10(self.to_lr / self.from_lr)
        least = max(LEAST_STEPS, math.ceil(round(STEPS_A_DECADE * decades, 6)))
        if self.steps < least:
            text = f"must be at least {least}, with rates over {decades:.3g} powers of ten"
            raise ValueError(f"steps={self.steps}: {text}; set steps={least}, or a narrower range")

    def rate(self, step: int) -> float:
        """That of the step after ``step`` completed ones."""
        return float(self.from_lr * (self.to_lr / self.from_lr) ** (step / (self.steps - 1)))


@dataclass
class Curve:
    """The losses of a range test so far, and their bias-corrected exponential moving average.

    L. N. Smith, "Cyclical learning rates for training neural networks" (2017), section 3.3.
    """

    ramp: Ramp
    losses: list[float] = field(default_factory=list)
    smoothed: list[float] = field(default_factory=list)
    ended: str = ""  # why before the last rate
    _sum: float = 0.0

    def add(self, loss: float) -> str:
        """Take in the loss of the next step; why the test should end now, or nothing."""
        if not math.isfinite(loss):
            return self.end(f"the loss became {loss}")
        self.losses.append(loss)
        self._sum = SMOOTHING * self._sum + (1 - SMOOTHING) * loss
        self.smoothed.append(self._sum / (1 - SMOOTHING ** len(self.losses)))
        best = min(self.smoothed[self._first :], default=math.inf)
        if self.smoothed[-1] > best + (DIVERGED - 1) * abs(best):
            return self.end(f"the smoothed loss is more than {DIVERGED:g} times its lowest")
        return ""

    def end(self, reason: str) -> str:
        self.ended = reason
        return reason

    @property
    def rates(self) -> list[float]:
        return [self.ramp.rate(step) for step in range(len(self.losses))]

    @property
    def lowest(self) -> int:
        """The place of the lowest smoothed loss. Raises ``NotFound`` when training diverges before one can be told."""
        if len(self.losses) <= self._first:
            rate = self.ramp.rate(len(self.losses))
            raise NotFound(f"{self.ended} after {len(self.losses)} steps, at lr={rate:.3g}")
        return min(range(self._first, len(self.smoothed)), key=self.smoothed.__getitem__)

    def suggestion(self) -> float:
        """A tenth of the rate at which the smoothed loss is lowest, with three digits.

        J. Howard and S. Gugger, "Deep learning for coders with fastai and PyTorch" (2020), chapter 5. The steepest
        descent, which others take, is in networks that learn late so near the end that they do not train there.
        Raises ``NotFound`` when the loss does not clearly fall, for all that it differs from batch to batch, and when a
        tenth is not among the rates.
        """
        lowest = self.lowest
        begin = sum(self.losses[: self._first]) / self._first
        if begin - self.smoothed[lowest] < max(FALLS * self._error(lowest), LEAST_FALL * abs(begin)):
            raise NotFound(f"the loss never clearly falls between lr={self.ramp.from_lr:g} and lr={self.rates[-1]:g}")
        found = float(f"{self.ramp.rate(lowest) / BELOW_LOWEST:.3g}")
        if found < self.ramp.from_lr:
            raise NotFound(f"the loss is lowest at lr={self.ramp.rate(lowest):.3g}, too near to the first rate")
        return found

    def _noise(self, last: int) -> float:
        """The standard deviation of the losses up to ``last`` from batch to batch, whatever their trend."""
        steps = zip(self.losses, self.losses[1 : last + 1], strict=False)
        return math.sqrt(sum((after - before) ** 2 for before, after in steps) / (2 * last))

    def _error(self, last: int) -> float:
        """The standard error of a fall from the mean of the first losses to a smoothed one, were there only noise."""
        return self._noise(last) * math.sqrt(1 / self._first + (1 - SMOOTHING) / (1 + SMOOTHING))

    @property
    def _first(self) -> int:
        return round(FIRST * self.ramp.steps)

    def rows(self) -> Iterator[tuple[int, float, float, float]]:
        """By ``COLUMNS``."""
        yield from zip(range(1, len(self.losses) + 1), self.rates, self.losses, self.smoothed, strict=True)

    def write_csv(self, path: Path) -> None:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(self.rows())
