"""Schedules against their formulas, and their resumption to the bit."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, Optimizer

from runner.optim import Muon, Schedule, Scheduler, schedulers, wrap
from runner.plan import Plan

PLAN = Plan.of(10, epochs=10, evaluate_every_steps=20)  # 100 steps, 5 evaluations
LR = 0.4

Factory = Callable[..., Scheduler]


def sgd() -> SGD:
    return SGD([nn.Parameter(torch.ones(1))], lr=LR, momentum=0.9)


def rates(optimizer: Optimizer, schedule: Scheduler, steps: int = 100) -> list[float]:
    """The learning rate of each step, and the one after the last."""
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.param_groups[0]["params"][0].grad = torch.ones(1)
        optimizer.step()
        schedule.step()
    return [*found, optimizer.param_groups[0]["lr"]]


def cosine_at(progress: float) -> float:
    return (1 + math.cos(math.pi * progress)) / 2


CASES: list[tuple[Factory, dict[str, Any], dict[int, float]]] = [
    (schedulers.constant, {}, {0: 1, 50: 1, 100: 1}),
    (schedulers.cosine, {}, {0: 1, 25: cosine_at(0.25), 50: 0.5, 99: cosine_at(0.99), 100: 0}),
    (
        schedulers.cosine,
        {"warmup_epochs": 2, "final_lr_fraction": 0.1},
        {0: 1 / 21, 10: 11 / 21, 19: 20 / 21, 20: 1, 60: 0.1 + 0.9 * 0.5, 100: 0.1},
    ),
    (schedulers.cosine, {"warmup_epochs": 0}, {0: 1, 50: 0.5}),
    (schedulers.cosine, {"warmup_steps": 0}, {0: 1, 50: 0.5}),
    (schedulers.linear, {"warmup_steps": 4}, {0: 0.2, 4: 1, 52: 0.5, 100: 0}),
    (schedulers.linear, {"final_lr_fraction": 0.5}, {0: 1, 50: 0.75, 100: 0.5}),
    (schedulers.step, {"every_epochs": 3, "gamma": 0.5}, {0: 1, 29: 1, 30: 0.5, 60: 0.25, 90: 0.125}),
    (schedulers.step, {"every_steps": 7, "gamma": 0.5}, {6: 1, 7: 0.5, 14: 0.25}),
    (schedulers.multistep, {"milestones_epochs": [8, 5]}, {49: 1, 50: 0.1, 79: 0.1, 80: 0.01}),
    (schedulers.multistep, {"milestones_steps": [3], "gamma": 0.5}, {2: 1, 3: 0.5, 100: 0.5}),
    (schedulers.exponential, {"gamma": 0.9}, {0: 1, 5: 0.9**0.5, 10: 0.9, 100: 0.9**10}),
    (
        schedulers.warm_restarts,
        {"first_cycle_epochs": 1},
        {0: 1, 5: 0.5, 9: cosine_at(0.9), 10: 1, 20: 0.5, 30: 1, 50: 0.5, 70: 1},
    ),
    (
        schedulers.warm_restarts,
        {"first_cycle_steps": 10, "cycle_growth": 1, "final_lr_fraction": 0.2},
        {0: 1, 5: 0.6, 10: 1, 95: 0.6},
    ),
    (
        schedulers.cyclic,
        {"rise_steps": 10, "fall_steps": 5, "low_lr_fraction": 0.2},
        {0: 0.2, 5: 0.6, 10: 1, 12: 1 - 0.8 * 0.4, 15: 0.2, 25: 1},
    ),
    (
        schedulers.cyclic,
        {"rise_epochs": 1, "low_lr_fraction": 0.2, "mode": "triangular2"},
        {0: 0.2, 10: 1, 20: 0.2, 30: 0.6, 40: 0.2},
    ),
    (
        schedulers.one_cycle,  # of 101 points the rise takes 29.3
        {"anneal": "linear", "initial_lr_fraction": 0.1, "final_lr_fraction": 0.01},
        {0: 0.1, 10: 0.1 + 0.9 * 10 / 29.3, 50: 1 - 0.99 * (50 - 29.3) / 70.7, 100: 0.01},
    ),
]


@pytest.mark.parametrize(("factory", "arguments", "expected"), CASES)
def test_a_schedule_is_its_formula(factory: Factory, arguments: dict[str, Any], expected: dict[int, float]) -> None:
    optimizer = sgd()
    found = rates(optimizer, factory(optimizer, plan=PLAN, **arguments))
    assert {step: found[step] for step in expected} == pytest.approx(
        {step: LR * fraction for step, fraction in expected.items()}, abs=1e-12
    )


def test_every_group_keeps_its_own_rate() -> None:
    for factory in (schedulers.cosine, schedulers.one_cycle):
        optimizer = Muon([nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2))], lr=0.2, adamw_lr=0.1)
        schedule = factory(optimizer, plan=PLAN)
        for _ in range(40):
            schedule.step()
        first, second = (group["lr"] for group in optimizer.param_groups)
        assert 0 < second < 0.1
        assert first == pytest.approx(2 * second)


def test_one_cycle_moves_the_momentum_the_other_way() -> None:
    optimizer = sgd()
    schedule = schedulers.one_cycle(optimizer, plan=PLAN)
    assert optimizer.param_groups[0]["momentum"] == 0.95
    rates(optimizer, schedule, 29)
    assert optimizer.param_groups[0]["momentum"] == pytest.approx(0.85, abs=1e-3)


@pytest.mark.parametrize("total", [1, 2, 3, 9])
@pytest.mark.parametrize("three_phase", [False, True])
def test_one_cycle_fits_the_shortest_training(total: int, three_phase: bool) -> None:
    optimizer = sgd()
    plan = Plan.of(10, steps=total)
    schedule = schedulers.one_cycle(optimizer, plan=plan, peak_at=0.1, three_phase=three_phase)
    found = rates(optimizer, schedule, total)
    assert found[0] == pytest.approx(0.04 * LR)
    assert all(0 < rate <= LR for rate in found)


def test_the_evaluation_interval_follows_the_same_curve_in_stairs() -> None:
    optimizer = sgd()
    schedule = schedulers.linear(optimizer, plan=PLAN, interval="evaluation")
    found = []
    for step in range(1, 101):
        found.append(optimizer.param_groups[0]["lr"] / LR)
        optimizer.step()
        schedule.step()
        if PLAN.evaluates(step):
            schedule.evaluated({})
    assert found == pytest.approx([1 - (step // 20) * 0.2 for step in range(100)])


def test_plateau_follows_its_metric() -> None:
    optimizer = sgd()
    schedule = schedulers.plateau(optimizer, plan=PLAN, patience_evaluations=1, factor=0.5)
    found = []
    for loss in (3.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0):
        schedule.step()  # says nothing
        schedule.evaluated({"valid/loss": loss, "train/loss": 0.0})
        found.append(optimizer.param_groups[0]["lr"] / LR)
    assert found == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]


def test_plateau_names_a_metric_that_is_not_measured() -> None:
    schedule = schedulers.plateau(sgd(), plan=PLAN, monitor="valid/acuracy", mode="max")
    with pytest.raises(ValueError, match=r"valid/acuracy.*set scheduler.monitor=valid/accuracy"):
        schedule.evaluated({"valid/loss": 1.0, "valid/accuracy": 0.5})


RESUMED: list[tuple[Factory, dict[str, Any]]] = [
    *((factory, arguments) for factory, arguments, _ in CASES),
    (schedulers.cosine, {"interval": "evaluation"}),
    (schedulers.plateau, {"patience_evaluations": 0}),
]


@pytest.mark.parametrize("kind", [SGD, Adam])
@pytest.mark.parametrize("schedule_first", [False, True])
@pytest.mark.parametrize(("factory", "arguments"), RESUMED)
def test_resumes_to_the_bit(
    factory: Factory, arguments: dict[str, Any], schedule_first: bool, kind: type[SGD] | type[Adam]
) -> None:
    def fresh() -> tuple[nn.Parameter, Optimizer, Scheduler]:
        parameter = nn.Parameter(torch.ones(3))
        settings: dict[str, Any] = {"momentum": 0.9} if kind is SGD else {}
        optimizer: Optimizer = kind([parameter], lr=LR, **settings)
        return parameter, optimizer, factory(optimizer, plan=PLAN, **arguments)

    def advance(parameter: nn.Parameter, optimizer: Optimizer, schedule: Scheduler, first: int, last: int) -> list[Any]:
        trail = []
        for step in range(first, last):
            parameter.grad = parameter.detach() * 0.1 + step % 3
            optimizer.step()
            schedule.step()
            if PLAN.evaluates(step + 1):
                schedule.evaluated({"valid/loss": float(step > 50)})
            group = optimizer.param_groups[0]
            trail.append((parameter.tolist(), group["lr"], group.get("momentum"), group.get("betas")))
        return trail

    parameter, optimizer, schedule = fresh()
    advance(parameter, optimizer, schedule, 0, 37)
    file = io.BytesIO()
    torch.save((parameter.detach(), optimizer.state_dict(), schedule.state_dict()), file)
    straight = advance(parameter, optimizer, schedule, 37, 100)

    file.seek(0)
    values, optimizer_state, schedule_state = torch.load(file, weights_only=True)
    parameter, optimizer, schedule = fresh()
    parameter.data.copy_(values)
    if schedule_first:
        schedule.load_state_dict(schedule_state)
    optimizer.load_state_dict(optimizer_state)
    if not schedule_first:
        schedule.load_state_dict(schedule_state)
    assert advance(parameter, optimizer, schedule, 37, 100) == straight


SHORT = Plan.of(10, epochs=4, evaluate_every_steps=20)  # 40 steps, 2 evaluations
SHAPED_BY_THE_LENGTH = (schedulers.cosine, schedulers.linear, schedulers.one_cycle)


def trail(factory: Factory, arguments: dict[str, Any], *, extended: bool) -> list[list[float]]:
    """The weight, the rate and the momentum after each of 100 steps; ``extended``, of which 40 were planned first."""

    def fresh(plan: Plan) -> tuple[nn.Parameter, Optimizer, Scheduler]:
        parameter = nn.Parameter(torch.ones(1))
        optimizer = SGD([parameter], lr=LR, momentum=0.9)
        return parameter, optimizer, factory(optimizer, plan=plan, **arguments)

    plan = SHORT if extended else PLAN
    parameter, optimizer, schedule = fresh(plan)
    found = []
    for done in range(100):
        if done == plan.total_steps:
            file, plan = io.BytesIO(), PLAN
            torch.save((parameter.detach(), optimizer.state_dict(), schedule.state_dict()), file)
            file.seek(0)
            parameter, optimizer, schedule = fresh(plan)
            value, *states = torch.load(file, weights_only=True)
            parameter.data.copy_(value)
            optimizer.load_state_dict(states[0])
            schedule.load_state_dict(states[1])
        parameter.grad = parameter.detach() * 0.1 + done % 3
        optimizer.step()
        schedule.step()
        if plan.evaluates(done + 1):
            schedule.evaluated({"valid/loss": float(done > 50)})
        group = optimizer.param_groups[0]
        found.append([parameter.item(), group["lr"], group["momentum"]])
    return found


@pytest.mark.parametrize(("factory", "arguments"), RESUMED)
def test_a_larger_budget_goes_on_as_if_it_had_been_given_at_first(factory: Factory, arguments: dict[str, Any]) -> None:
    """To the bit, where the length does not shape the schedule; else on the new curve from its next point on."""
    whole, extended = (trail(factory, arguments, extended=extended) for extended in (False, True))
    if factory in SHAPED_BY_THE_LENGTH:
        first = 59 if arguments.get("interval") == "evaluation" else 40
        assert [step[1:] for step in extended[first:]] == [step[1:] for step in whole[first:]]
        assert extended[30][1] != whole[30][1]
    else:
        assert extended == whole


@pytest.mark.parametrize("anneal", ["cos", "linear"])
@pytest.mark.parametrize("three_phase", [False, True])
def test_one_cycle_takes_its_new_length(anneal: str, three_phase: bool) -> None:
    """With the length that its state holds, torch's raises an error after it."""
    arguments = {"anneal": anneal, "three_phase": three_phase}
    whole, extended = (trail(schedulers.one_cycle, arguments, extended=extended) for extended in (False, True))
    assert [step[1:] for step in extended[40:]] == [step[1:] for step in whole[40:]]


def test_a_skipped_first_step_does_not_warn_and_silences_nothing_else() -> None:
    schedule = schedulers.cosine(sgd(), plan=PLAN)
    schedule.step()  # no optimizer step before: warnings are errors in this suite
    schedule.step()
    with pytest.warns(UserWarning, match="still heard"):
        warnings.warn("still heard", UserWarning, stacklevel=1)


def test_wrap_takes_a_bare_torch_scheduler() -> None:
    optimizer = sgd()
    found = rates(optimizer, wrap(torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5)), 4)
    assert found == [LR, LR, LR / 2, LR / 2, LR / 4]
    chain = torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.ConstantLR(optimizer, factor=0.1, total_iters=9),
            torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5),
        ],
        milestones=[2],
    )
    rates(optimizer, wrap(chain), 5)  # no warning
    follower = wrap(torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0))
    assert (follower.interval, follower.monitor) == ("evaluation", "valid/loss")


@pytest.mark.parametrize(
    ("factory", "arguments", "message"),
    [
        (schedulers.cosine, {"interval": "epoch"}, "interval must be step or evaluation, got epoch"),
        (schedulers.constant, {"interval": "epoch"}, "interval must be step or evaluation"),
        (schedulers.cosine, {"warmup_epochs": 1, "warmup_steps": 5}, "not both"),
        (schedulers.cosine, {"warmup_epochs": 0, "warmup_steps": 5}, "not both"),
        (schedulers.cosine, {"warmup_epochs": 10}, "shorter than the training, got 100 of 100"),
        (schedulers.cosine, {"warmup_steps": -1}, "must last at least one step"),
        (schedulers.linear, {"final_lr_fraction": -0.1}, "must not be negative"),
        (schedulers.step, {}, "set scheduler.every_epochs or scheduler.every_steps"),
        (schedulers.step, {"every_epochs": 1, "gamma": 0.0}, "gamma must be positive"),
        (schedulers.multistep, {}, "one of them"),
        (schedulers.multistep, {"milestones_epochs": [1], "milestones_steps": [1]}, "one of them"),
        (schedulers.warm_restarts, {"first_cycle_steps": 1, "cycle_growth": 0.5}, "at least 1, got 0.5"),
        (schedulers.one_cycle, {"interval": "evaluation"}, "set scheduler.interval=step"),
        (schedulers.one_cycle, {"peak_at": 1.0}, "between 0 and 1.0, got 1.0"),
        (schedulers.one_cycle, {"peak_at": 0.5, "three_phase": True}, "between 0 and 0.5"),
        (schedulers.one_cycle, {"anneal": "cosine"}, "anneal must be cos or linear"),
        (schedulers.cyclic, {"rise_steps": 1, "interval": "evaluation"}, "set scheduler.interval=step"),
        (schedulers.cyclic, {"rise_steps": 1, "mode": "sine"}, "mode must be one of"),
        (schedulers.plateau, {"interval": "step"}, "set interval=evaluation"),
        (schedulers.plateau, {"mode": "least"}, "mode must be min or max"),
        (schedulers.plateau, {"factor": 1.0}, "factor must lie between"),
    ],
)
def test_what_cannot_be_is_refused(factory: Factory, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        factory(sgd(), plan=PLAN, **arguments)


def test_momentum_cannot_cycle_where_there_is_none() -> None:
    optimizer = torch.optim.Adagrad([nn.Parameter(torch.ones(1))])
    cases: list[tuple[Factory, dict[str, Any]]] = [
        (schedulers.one_cycle, {}),
        (schedulers.cyclic, {"rise_steps": 2}),
    ]
    for factory, arguments in cases:
        with pytest.raises(ValueError, match=r"set scheduler\.cycle_momentum=false"):
            factory(optimizer, plan=PLAN, **arguments)


def test_a_schedule_cannot_follow_nothing() -> None:
    with pytest.raises(ValueError, match="monitor"):
        Schedule(torch.optim.lr_scheduler.ReduceLROnPlateau(sgd()))
