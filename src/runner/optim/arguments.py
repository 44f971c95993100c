"""What the arguments of schedules must satisfy, said once."""

from __future__ import annotations

from torch.optim import Optimizer

from runner.plan import Plan, steps_of


def optional_duration(name: str, epochs: float | None, steps: int | None, plan: Plan) -> int | None:
    return steps_of(f"scheduler.{name}", epochs=epochs, steps=steps, steps_per_epoch=plan.steps_per_epoch)


def duration(name: str, epochs: float | None, steps: int | None, plan: Plan) -> int:
    length = optional_duration(name, epochs, steps, plan)
    if length is None:
        raise ValueError(f"scheduler.{name} is needed; set scheduler.{name}_epochs or scheduler.{name}_steps")
    return length


def checked_interval(interval: str) -> str:
    if interval not in ("step", "evaluation"):
        raise ValueError(f"scheduler.interval must be step or evaluation, got {interval}")
    return interval


def require_steps(name: str, interval: str) -> None:
    if checked_interval(interval) != "step":
        raise ValueError(
            f"scheduler={name} turns within epochs, so it cannot wait for evaluations; set scheduler.interval=step"
        )


def require_momentum(name: str, optimizer: Optimizer, cycle_momentum: bool) -> None:
    if cycle_momentum and "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
        raise ValueError(
            f"scheduler={name} cannot cycle the momentum of {type(optimizer).__name__}, which has none; "
            "set scheduler.cycle_momentum=false"
        )


def require_positive(name: str, value: float, *, zero: bool = False) -> None:
    if value < 0 or (value == 0 and not zero):
        raise ValueError(f"scheduler.{name} must {'not be negative' if zero else 'be positive'}, got {value}")
