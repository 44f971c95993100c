"""What an update needs of a learning-rate schedule, and torch's schedulers in that shape."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Mapping
from typing import Any, Protocol

from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from runner.optim.arguments import checked_interval

_LENGTH = ("total_steps", "_schedule_phases")  # what one-cycle saves of its length: an extended run has another
_SCHEDULED = ("lr", "momentum", "betas")  # what torch's schedulers write into an optimizer's groups


class Scheduler(Protocol):
    """What an update needs of a schedule."""

    interval: str  # "step" or "evaluation"
    monitor: str | None  # the metric that it follows
    moves_momentum: bool

    def step(self) -> None:
        """Called after each optimizer step."""

    def evaluated(self, metrics: Mapping[str, float]) -> None:
        """Called after each evaluation."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class Constant:
    """The schedule that leaves every learning rate as it is."""

    interval = "step"
    monitor: str | None = None
    moves_momentum = False

    def step(self) -> None:
        """Nothing changes."""

    def evaluated(self, metrics: Mapping[str, float]) -> None:
        """Nothing changes."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing to restore."""


class Schedule:
    """A torch scheduler that advances once a step, or once an evaluation.

    Its state holds the groups' scheduled values too, so it may be loaded before or after the optimizer's.
    Raises ``ValueError`` for an interval that there is not, or when the scheduler follows a metric and none
    is named.
    """

    def __init__(self, scheduler: LRScheduler, *, interval: str = "step", monitor: str | None = None) -> None:
        plateau = isinstance(scheduler, ReduceLROnPlateau)
        if plateau and (monitor is None or interval != "evaluation"):
            raise ValueError(
                "a plateau schedule follows a metric: set interval=evaluation and a monitor like valid/loss; "
                f"got interval={interval}, monitor={monitor}"
            )
        self.interval = checked_interval(interval)
        self.monitor = monitor
        self.scheduler = scheduler
        self.moves_momentum: bool = getattr(scheduler, "cycle_momentum", False)  # of CyclicLR and OneCycleLR
        self._begun = False

    def step(self) -> None:
        if self.interval == "step":
            self._advance()

    def evaluated(self, metrics: Mapping[str, float]) -> None:
        """Raises ``ValueError`` when the monitored metric was not measured."""
        if self.interval != "evaluation":
            return
        if self.monitor is None:
            self._advance()
            return
        if self.monitor not in metrics:
            close = difflib.get_close_matches(self.monitor, metrics, n=1) or list(metrics)
            raise ValueError(
                f"scheduler.monitor is {self.monitor}, which was not measured; "
                f"set scheduler.monitor={' or '.join(close) or '<a metric>'}"
            )
        self._advance(metrics[self.monitor])

    def _advance(self, *value: float) -> None:
        if self._begun:
            self.scheduler.step(*value)  # type: ignore[arg-type]
            return
        # torch warns at the first advance when no optimizer step came before, as when a GradScaler skipped
        # it. No later, and changing the filters at every step would let everyone's once-only warnings repeat.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*optimizer.step.*", category=UserWarning)
            self.scheduler.step(*value)  # type: ignore[arg-type]
        self._begun = True

    def state_dict(self) -> dict[str, Any]:
        groups = self.scheduler.optimizer.param_groups
        return {
            "scheduler": self.scheduler.state_dict(),
            "groups": [{key: group[key] for key in _SCHEDULED if key in group} for group in groups],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        kept = {key: value for key, value in state["scheduler"].items() if key not in _LENGTH}
        self.scheduler.load_state_dict(kept)
        for group, values in zip(self.scheduler.optimizer.param_groups, state["groups"], strict=True):
            group.update(values)


def wrap(scheduler: LRScheduler) -> Schedule:
    """A bare torch scheduler, advanced once a step; one that follows a metric gets ``valid/loss``."""
    if isinstance(scheduler, ReduceLROnPlateau):
        return Schedule(scheduler, interval="evaluation", monitor="valid/loss")
    return Schedule(scheduler)
