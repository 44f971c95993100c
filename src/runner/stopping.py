"""Rules that end training before its budget is used."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol


class Stopping(Protocol):
    """A rule. It has memory, which a checkpoint keeps."""

    monitor: str  # the metric that it follows

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
        best = "was never a number" if self.best is None else f"is no better than {self.best:.6g}"
        return f"{self.monitor} {best} since {self.waited_evaluations} evaluations"

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
