"""Momentum as a function of the completed steps, beside whatever the learning rate does.

A curve gives the value after so many steps: ``momentum`` of SGD and the like, the first of ``betas`` of Adam and the
like, of every group. A high momentum with a low rate, and the other way round, is what Smith proposes ("A disciplined
approach to neural network hyper-parameters", 2018).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from torch.optim import SGD, Optimizer

from runner.optim.schedule import Scheduler
from runner.plan import Plan, steps_of

Curve = Callable[[int], float]
LOOKS = 1000  # at most, along a curve


def linear(
    *,
    plan: Plan,
    initial_momentum: float,
    final_momentum: float,
    over_epochs: float | None = None,
    over_steps: int | None = None,
) -> Curve:
    """A straight line that is at its end after the duration, or with the training without one, and stays there."""
    length = _duration("over", over_epochs, over_steps, plan) or plan.total_steps
    return lambda done: _between(initial_momentum, final_momentum, min(done / length, 1.0))


def cosine(
    *,
    plan: Plan,
    initial_momentum: float,
    final_momentum: float,
    over_epochs: float | None = None,
    over_steps: int | None = None,
) -> Curve:
    """Half a cosine that is at its end after the duration, or with the training without one, and stays there."""
    length = _duration("over", over_epochs, over_steps, plan) or plan.total_steps

    def curve(done: int) -> float:
        progress = (1 - math.cos(math.pi * min(done / length, 1.0))) / 2
        return _between(initial_momentum, final_momentum, progress)

    return curve


def triangular(
    *,
    plan: Plan,
    high_momentum: float,
    low_momentum: float,
    fall_epochs: float | None = None,
    fall_steps: int | None = None,
    rise_epochs: float | None = None,
    rise_steps: int | None = None,
) -> Curve:
    """From high to low and back, again and again: the inverse of ``scheduler=cyclic`` whose rise is this fall.

    The rise lasts as long as the fall unless it is given.
    """
    fall = _duration("fall", fall_epochs, fall_steps, plan)
    if fall is None:
        raise ValueError("momentum.fall is needed; set momentum.fall_epochs or momentum.fall_steps")
    rise = _duration("rise", rise_epochs, rise_steps, plan) or fall

    def curve(done: int) -> float:
        place = done % (fall + rise)
        progress = place / fall if place < fall else 1 - (place - fall) / rise
        return _between(high_momentum, low_momentum, progress)

    return curve


def with_momentum(schedule: Scheduler, optimizer: Optimizer, curve: Curve, *, plan: Plan) -> Scheduler:
    """``schedule`` beside which the momentum of every group follows ``curve``.

    Raises ``ValueError`` for an optimizer that has none, beside a schedule that moves it, too, and for values that the
    optimizer cannot take: at 1 nothing is forgotten, and 0 is no momentum, with which only SGD without Nesterov's, and
    ``betas``, may be.
    """
    kind = type(optimizer).__name__
    if not all(_key(group) for group in optimizer.param_groups):
        raise ValueError(
            f"momentum cannot move that of {kind}, which has neither momentum nor betas; set momentum=null"
        )
    if schedule.moves_momentum:
        raise ValueError("the scheduler moves the momentum, too; set scheduler.cycle_momentum=false, or momentum=null")
    zero = all(_takes_zero(optimizer, group) for group in optimizer.param_groups)
    for step in range(0, plan.total_steps + 1, math.ceil(plan.total_steps / LOOKS)):
        value = curve(step)
        if not 0 <= value < 1 or (value == 0 and not zero):
            least = "at least" if zero else "more than"
            raise ValueError(f"momentum of {kind} must be {least} 0 and less than 1, got {value:g} after {step} steps")
    return MovingMomentum(schedule, optimizer, curve)


class MovingMomentum:
    """A schedule, and a curve that the momentum of each group of ``optimizer`` follows, one value a step."""

    moves_momentum = True

    def __init__(self, schedule: Scheduler, optimizer: Optimizer, curve: Curve) -> None:
        self.schedule = schedule
        self.optimizer = optimizer
        self.curve = curve
        self.steps = 0
        self.interval = schedule.interval
        self.monitor = schedule.monitor
        self._follow()

    def step(self) -> None:
        self.schedule.step()
        self.steps += 1
        self._follow()

    def evaluated(self, metrics: Mapping[str, float]) -> None:
        self.schedule.evaluated(metrics)

    def _follow(self) -> None:
        value = self.curve(self.steps)
        for group in self.optimizer.param_groups:
            key = _key(group)
            group[key] = (value, *group[key][1:]) if key == "betas" else value

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "schedule": self.schedule.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.schedule.load_state_dict(state["schedule"])
        self.steps = state["steps"]
        self._follow()


def momentum_of(group: Mapping[str, Any]) -> float:
    """``momentum`` of an optimizer's group, or the first of its ``betas``."""
    key = _key(group)
    return float(group[key][0] if key == "betas" else group[key])


def _key(group: Mapping[str, Any]) -> str:
    return next((key for key in ("betas", "momentum") if key in group), "")


def _takes_zero(optimizer: Optimizer, group: Mapping[str, Any]) -> bool:
    """RMSprop makes its buffer in the first step or never; Nesterov's momentum is none without one."""
    return _key(group) == "betas" or (isinstance(optimizer, SGD) and not group["nesterov"])


def _between(start: float, end: float, progress: float) -> float:
    return start + (end - start) * progress


def _duration(name: str, epochs: float | None, steps: int | None, plan: Plan) -> int | None:
    return steps_of(f"momentum.{name}", epochs=epochs, steps=steps, steps_per_epoch=plan.steps_per_epoch)
