"""Rules that end training before its budget is used."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol


class Stopping(Protocol):
    """A rule. It has memory, which a checkpoint keeps."""

    @property
    def monitor(self) -> str | None:
        """The metric or learning rate that it follows, if it follows one."""
        ...

    def evaluated(self, scores: Mapping[str, float]) -> str:
        """Called after each evaluation: why training should end now, or nothing."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class EarlyStopping:
    """Ends training at the ``patience_evaluations``-th evaluation in a row in which ``monitor`` did not improve.

    ``min_delta``: a change that is not larger than this is no improvement. NaN never improves.
    Raises ``ValueError`` for settings out of range, and for a monitor that was not measured.
    """

    def __init__(
        self, *, monitor: str = "valid/loss", mode: str = "min", patience_evaluations: int = 5, min_delta: float = 0.0
    ) -> None:
        if mode not in ("min", "max"):
            raise ValueError(f"mode of EarlyStopping must be min or max, got {mode}")
        if patience_evaluations < 1:
            raise ValueError(f"patience_evaluations of EarlyStopping must be at least 1, got {patience_evaluations}")
        if not 0 <= min_delta < math.inf:
            raise ValueError(f"min_delta of EarlyStopping must not be negative, got {min_delta}")
        self.monitor = monitor
        self.mode = mode
        self.patience_evaluations = patience_evaluations
        self.min_delta = min_delta
        self.best: float | None = None
        self.waited_evaluations = 0

    def evaluated(self, scores: Mapping[str, float]) -> str:
        if self.monitor not in scores:
            raise ValueError(f"EarlyStopping follows {self.monitor}, which was not measured; there are: {list(scores)}")
        value = scores[self.monitor]
        if self._improves(value):
            self.best, self.waited_evaluations = value, 0
            return ""
        self.waited_evaluations += 1
        if self.waited_evaluations < self.patience_evaluations:
            return ""
        return f"{self.monitor} {self._stands()} since {self.waited_evaluations} evaluations"

    def _stands(self) -> str:
        if self.best is None:
            return "was never a number"
        by = f" by more than {self.min_delta:g}" if self.min_delta else ""
        return f"is no better than {self.best:.6g}{by}"

    def _improves(self, value: float) -> bool:
        if math.isnan(value):
            return False
        if self.best is None:
            return True
        gain = self.best - value if self.mode == "min" else value - self.best
        return gain > self.min_delta

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "waited_evaluations": self.waited_evaluations}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best, self.waited_evaluations = state["best"], state["waited_evaluations"]


class Reached:
    """Ends training at the first evaluation at which ``monitor`` is at ``value`` or beyond.

    Below it with ``mode`` "min", above it with "max". A learning rate can be followed, too: "lr".
    Raises ``ValueError`` for another mode, for NaN, and for a monitor that was not measured.
    """

    def __init__(self, *, monitor: str, value: float, mode: str = "max") -> None:
        if mode not in ("min", "max"):
            raise ValueError(f"mode of Reached must be min or max, got {mode}")
        if math.isnan(value):
            raise ValueError("value of Reached is no number, so nothing would ever reach it")
        self.monitor = monitor
        self.value = value
        self.mode = mode

    def evaluated(self, scores: Mapping[str, float]) -> str:
        if self.monitor not in scores:
            raise ValueError(f"Reached follows {self.monitor}, which was not measured; there are: {list(scores)}")
        value = scores[self.monitor]
        if value <= self.value if self.mode == "min" else value >= self.value:
            return f"{self.monitor} reached {self.value:g}: {value:.6g}"
        return ""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class WallTime:
    """Ends training at the first evaluation after ``limit_s`` seconds of it, over all its sessions.

    Where that is depends on the machine: two runs of one configuration may end at different steps, but are the same up
    to there. Seconds after the last checkpoint of a session that was killed are not counted.
    Raises ``ValueError`` for a limit that is not positive.
    """

    monitor = None

    def __init__(self, *, limit_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        if not limit_s > 0:
            raise ValueError(f"limit_s of WallTime must be positive, got {limit_s}")
        self.limit_s = limit_s
        self._clock = clock
        self._began_s = clock()
        self._before_s = 0.0  # in earlier sessions

    @property
    def spent_s(self) -> float:
        return self._before_s + self._clock() - self._began_s

    def evaluated(self, scores: Mapping[str, float]) -> str:  # noqa: ARG002
        if self.spent_s < self.limit_s:
            return ""
        return f"{self.spent_s:.0f} s of training, of which {self.limit_s:g} were allowed"

    def state_dict(self) -> dict[str, Any]:
        return {"spent_s": self.spent_s}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._before_s, self._began_s = state["spent_s"], self._clock()


class Rules:
    """Any number of rules by name; the first that wants to stop gives the reason. Without any, training goes on."""

    def __init__(self, rules: Mapping[str, Stopping] | None = None) -> None:
        self.rules = dict(rules or {})

    def evaluated(self, scores: Mapping[str, float]) -> str:
        reasons = [rule.evaluated(scores) for rule in self.rules.values()]  # all are told, each has memory
        return next((reason for reason in reasons if reason), "")

    def state_dict(self) -> dict[str, Any]:
        return {name: rule.state_dict() for name, rule in self.rules.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, rule in self.rules.items():
            rule.load_state_dict(state[name])
