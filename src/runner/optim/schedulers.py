"""Learning-rate schedules over torch's schedulers, with durations in epochs or steps.

Every schedule multiplies each group's own learning rate, so ``optimizer.lr`` is the highest one and groups
keep their ratios. A schedule that lasts as long as the training reaches its last value when the training
ends, after the last step; cosine and linear end sooner for a group that is trained for a while only. With
``interval="evaluation"`` the curve is the same, but is followed in stairs: the rate changes at evaluations
only.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Literal, cast

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, OneCycleLR, ReduceLROnPlateau

from runner.optim.arguments import (
    checked_interval,
    duration,
    optional_duration,
    require_momentum,
    require_positive,
    require_steps,
)
from runner.optim.curves import annealed, curve
from runner.optim.schedule import Constant, Schedule
from runner.plan import Plan


def constant(optimizer: Optimizer, *, plan: Plan, interval: str = "step") -> Constant:  # noqa: ARG001
    """The learning rate stays as it is."""
    checked_interval(interval)
    return Constant()


def cosine(
    optimizer: Optimizer,
    *,
    plan: Plan,
    interval: str = "step",
    warmup_epochs: float | None = None,
    warmup_steps: int | None = None,
    final_lr_fraction: float = 0.0,
) -> Schedule:
    """Linear warm-up, then half a cosine down (Loshchilov and Hutter, "SGDR", 2017)."""
    require_positive("final_lr_fraction", final_lr_fraction, zero=True)

    def fall(progress: float) -> float:
        return final_lr_fraction + (1 - final_lr_fraction) * (1 + math.cos(math.pi * progress)) / 2

    return annealed(optimizer, fall, plan=plan, interval=interval, epochs=warmup_epochs, steps=warmup_steps)


def linear(
    optimizer: Optimizer,
    *,
    plan: Plan,
    interval: str = "step",
    warmup_epochs: float | None = None,
    warmup_steps: int | None = None,
    final_lr_fraction: float = 0.0,
) -> Schedule:
    """Linear warm-up, then a straight line down to a fraction of the rate."""
    require_positive("final_lr_fraction", final_lr_fraction, zero=True)

    def fall(progress: float) -> float:
        return 1 + (final_lr_fraction - 1) * progress

    return annealed(optimizer, fall, plan=plan, interval=interval, epochs=warmup_epochs, steps=warmup_steps)


def step(
    optimizer: Optimizer,
    *,
    plan: Plan,
    interval: str = "step",
    every_epochs: float | None = None,
    every_steps: int | None = None,
    gamma: float = 0.1,
) -> Schedule:
    """The rate times ``gamma`` each time the duration has passed."""
    require_positive("gamma", gamma)
    every = duration("every", every_epochs, every_steps, plan)
    return curve(optimizer, lambda done: gamma ** (done // every), plan=plan, interval=interval)


def multistep(
    optimizer: Optimizer,
    *,
    plan: Plan,
    interval: str = "step",
    milestones_epochs: Sequence[float] | None = None,
    milestones_steps: Sequence[int] | None = None,
    gamma: float = 0.1,
) -> Schedule:
    """The rate times ``gamma`` at each milestone."""
    require_positive("gamma", gamma)
    if (milestones_epochs is None) == (milestones_steps is None):
        raise ValueError(
            "scheduler.milestones must be given in epochs or in steps, one of them: "
            f"got milestones_epochs={milestones_epochs}, milestones_steps={milestones_steps}"
        )
    milestones = sorted(
        [duration("milestones", epochs, None, plan) for epochs in milestones_epochs or ()]
        + [duration("milestones", None, steps, plan) for steps in milestones_steps or ()]
    )
    return curve(optimizer, lambda done: gamma ** bisect_right(milestones, done), plan=plan, interval=interval)


def exponential(optimizer: Optimizer, *, plan: Plan, interval: str = "step", gamma: float = 0.95) -> Schedule:
    """The rate times ``gamma`` in each epoch, smoothly over its steps."""
    require_positive("gamma", gamma)
    return curve(optimizer, lambda done: gamma ** (done / plan.steps_per_epoch), plan=plan, interval=interval)


def warm_restarts(
    optimizer: Optimizer,
    *,
    plan: Plan,
    interval: str = "step",
    first_cycle_epochs: float | None = None,
    first_cycle_steps: int | None = None,
    cycle_growth: float = 2.0,
    final_lr_fraction: float = 0.0,
) -> Schedule:
    """Half cosines that start anew, each ``cycle_growth`` times as long as the last (Loshchilov and Hutter,
    2017).
    """
    require_positive("final_lr_fraction", final_lr_fraction, zero=True)
    if cycle_growth < 1:
        raise ValueError(f"scheduler.cycle_growth must be at least 1, got {cycle_growth}")
    first = duration("first_cycle", first_cycle_epochs, first_cycle_steps, plan)

    def factor(done: int) -> float:
        start, length = 0.0, float(first)
        if cycle_growth == 1:
            done %= first
        while done >= start + length:
            start, length = start + length, length * cycle_growth
        progress = (done - start) / length
        return final_lr_fraction + (1 - final_lr_fraction) * (1 + math.cos(math.pi * progress)) / 2

    return curve(optimizer, factor, plan=plan, interval=interval)


def one_cycle(
    optimizer: Optimizer,
    *,
    plan: Plan,
    interval: str = "step",
    peak_at: float = 0.3,
    initial_lr_fraction: float = 0.04,
    final_lr_fraction: float = 4e-6,
    anneal: str = "cos",
    three_phase: bool = False,
    cycle_momentum: bool = True,
    low_momentum: float = 0.85,
    high_momentum: float = 0.95,
) -> Schedule:
    """Up to the rate, then far below it, with the momentum the other way (Smith and Topin,
    "Super-convergence", 2018).

    ``peak_at`` is the fraction of the training after which the rate is highest; the rise takes at least one
    step.
    """
    require_steps("one_cycle", interval)
    require_positive("initial_lr_fraction", initial_lr_fraction)
    require_positive("final_lr_fraction", final_lr_fraction)
    require_momentum("one_cycle", optimizer, cycle_momentum)
    highest = 0.5 if three_phase else 1.0  # of three phases, the second falls as long as the first rises
    if not 0 < peak_at < highest:
        raise ValueError(f"scheduler.peak_at must lie between 0 and {highest}, got {peak_at}")
    if anneal not in ("cos", "linear"):
        raise ValueError(f"scheduler.anneal must be cos or linear, got {anneal}")
    total = plan.total_steps + 1  # torch's last value then stands after the last step, and not at it
    return Schedule(
        OneCycleLR(
            optimizer,
            max_lr=[group["lr"] for group in optimizer.param_groups],
            total_steps=total,
            pct_start=max(peak_at, 2 / total),
            anneal_strategy=cast(Literal["cos", "linear"], anneal),
            cycle_momentum=cycle_momentum,
            base_momentum=low_momentum,
            max_momentum=high_momentum,
            div_factor=1 / initial_lr_fraction,
            final_div_factor=initial_lr_fraction / final_lr_fraction,
            three_phase=three_phase,
        )
    )


def cyclic(
    optimizer: Optimizer,
    *,
    plan: Plan,
    interval: str = "step",
    rise_epochs: float | None = None,
    rise_steps: int | None = None,
    fall_epochs: float | None = None,
    fall_steps: int | None = None,
    low_lr_fraction: float = 0.1,
    mode: str = "triangular",
    gamma: float = 1.0,
    cycle_momentum: bool = True,
    low_momentum: float = 0.8,
    high_momentum: float = 0.9,
) -> Schedule:
    """Triangles between a fraction of the rate and the rate (Smith, "Cyclical learning rates", 2017).

    The fall lasts as long as the rise unless it is given. ``mode`` is "triangular", "triangular2" (each
    triangle half as high as the last) or "exp_range" (``gamma`` ** step as high).
    """
    require_steps("cyclic", interval)
    require_positive("low_lr_fraction", low_lr_fraction, zero=True)
    require_momentum("cyclic", optimizer, cycle_momentum)
    modes = ("triangular", "triangular2", "exp_range")
    if mode not in modes:
        raise ValueError(f"scheduler.mode must be one of {', '.join(modes)}, got {mode}")
    rates = [group["lr"] for group in optimizer.param_groups]
    return Schedule(
        CyclicLR(
            optimizer,
            base_lr=[rate * low_lr_fraction for rate in rates],
            max_lr=rates,
            step_size_up=duration("rise", rise_epochs, rise_steps, plan),
            step_size_down=optional_duration("fall", fall_epochs, fall_steps, plan),
            mode=cast(Literal["triangular", "triangular2", "exp_range"], mode),
            gamma=gamma,
            cycle_momentum=cycle_momentum,
            base_momentum=low_momentum,
            max_momentum=high_momentum,
        )
    )


def plateau(
    optimizer: Optimizer,
    *,
    plan: Plan,  # noqa: ARG001
    interval: str = "evaluation",
    monitor: str = "valid/loss",
    mode: str = "min",
    factor: float = 0.1,
    patience_evaluations: int = 3,
    cooldown_evaluations: int = 0,
    threshold: float = 1e-4,
    threshold_mode: str = "rel",
    min_lr: float = 0.0,
) -> Schedule:
    """The rate times ``factor`` after more than ``patience_evaluations`` evaluations that did not improve."""
    for key, value, known in (
        ("mode", mode, ("min", "max")),
        ("threshold_mode", threshold_mode, ("rel", "abs")),
    ):
        if value not in known:
            raise ValueError(f"scheduler.{key} must be {' or '.join(known)}, got {value}")
    if not 0 < factor < 1:
        raise ValueError(f"scheduler.factor must lie between 0 and 1, got {factor}")
    return Schedule(
        ReduceLROnPlateau(
            optimizer,
            mode=cast(Literal["min", "max"], mode),
            factor=factor,
            patience=patience_evaluations,
            cooldown=cooldown_evaluations,
            threshold=threshold,
            threshold_mode=cast(Literal["rel", "abs"], threshold_mode),
            min_lr=min_lr,
        ),
        interval=interval,
        monitor=monitor,
    )
