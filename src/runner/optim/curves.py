"""Schedules that multiply each group's learning rate by a function of the completed steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from runner.optim.arguments import checked_interval, optional_duration
from runner.optim.ending import last_step
from runner.optim.schedule import Schedule
from runner.plan import Plan

Factor = Callable[[int], float]


def curve(optimizer: Optimizer, *factors: Factor, plan: Plan, interval: str) -> Schedule:
    """A schedule whose rates are the groups' own, times a factor of the completed steps: one for all, or one each."""
    stride = plan.evaluate_every_steps if checked_interval(interval) == "evaluation" else 1

    def counted(factor: Factor) -> Factor:
        return lambda count: factor(min(count * stride, plan.total_steps))

    each = factors if len(factors) > 1 else factors * len(optimizer.param_groups)
    return Schedule(LambdaLR(optimizer, [counted(factor) for factor in each]), interval=interval)


def annealed(
    optimizer: Optimizer,
    fall: Callable[[float], float],
    *,
    plan: Plan,
    interval: str,
    epochs: float | None,
    steps: int | None,
) -> Schedule:
    """A linear rise, then ``fall`` of the progress in [0, 1] until the training ends, or that of the group."""
    none = (steps is None and epochs == 0) or (epochs is None and steps == 0)
    warmup = 0 if none else optional_duration("warmup", epochs, steps, plan) or 0

    def factor_of(group: Mapping[str, Any]) -> Factor:
        total = min(last_step(group, plan) or plan.total_steps, plan.total_steps)
        if warmup >= total:
            raise ValueError(
                f"scheduler.warmup must be shorter than the training, got {warmup} of {total} steps; "
                "shorten it, or train longer"
            )

        def factor(done: int) -> float:
            if done < warmup:
                return (done + 1) / (warmup + 1)
            return fall(min((done - warmup) / (total - warmup), 1.0))

        return factor

    return curve(optimizer, *map(factor_of, optimizer.param_groups), plan=plan, interval=interval)
