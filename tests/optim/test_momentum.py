"""Momentum that follows a curve of its own, beside the learning rate."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adadelta, Adam, Optimizer, RMSprop

from runner.optim import Constant, Muon, Scheduler, ending, schedulers, with_momentum
from runner.optim.momentum import Curve, cosine, linear, momentum_of, triangular
from runner.plan import Plan
from runner.precision import Precision
from runner.session import momenta
from runner.update import Update

PLAN = Plan.of(4, epochs=5)  # 20 steps
RISE = 4
CYCLIC: Callable[..., Scheduler] = partial(
    schedulers.cyclic, plan=PLAN, rise_steps=RISE, low_lr_fraction=0.1, cycle_momentum=False
)
TRIANGLE: Callable[..., Curve] = partial(triangular, plan=PLAN, high_momentum=0.95, low_momentum=0.85)
OPTIMIZERS: Mapping[str, Callable[..., Optimizer]] = {
    "sgd": partial(SGD, lr=0.1, momentum=0.3, nesterov=True),
    "adam": partial(Adam, lr=0.1),
    "muon": Muon,
    "rmsprop": partial(RMSprop, lr=0.01, momentum=0.5),
}


class Trained:
    """A network under an optimizer whose rate is a triangle, and its momentum the inverse one."""

    def __init__(self, name: str, curve: Curve | None = None, *, schedule: Callable[..., Scheduler] = CYCLIC) -> None:
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
        parameters = list(self.network.parameters())
        self.optimizer = OPTIMIZERS[name]([{"params": parameters[:2]}, {"params": parameters[2:]}])
        made = with_momentum(schedule(self.optimizer), self.optimizer, curve or TRIANGLE(fall_steps=RISE), plan=PLAN)
        scaler = Precision("fp32", device=torch.device("cpu")).scaler()
        scheduler = ending(made, self.optimizer, plan=PLAN)
        self.update = Update("model", self.optimizer, scheduler=scheduler, scaler=scaler, alone=True)

    def steps(self, first: int, last: int) -> Trained:
        for step in range(first, last):
            torch.manual_seed(step)
            self.update.apply([self.network(torch.randn(5, 3)).square().mean()])
        return self

    def weights(self) -> torch.Tensor:
        return torch.cat([weight.detach().flatten() for weight in self.network.parameters()])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_triangles_of_rate_and_momentum_are_inverse_at_every_step(name: str) -> None:
    trained = Trained(name)
    top = trained.optimizer.defaults["lr"]
    for step in range(PLAN.total_steps):
        up = 1 - abs(step % (2 * RISE) - RISE) / RISE
        for group in trained.optimizer.param_groups:
            assert momentum_of(group) == pytest.approx(0.95 - 0.1 * up)
            if name != "muon":  # whose others have a rate of their own
                assert group["lr"] == pytest.approx(top * (0.1 + 0.9 * up))
        assert trained.update.momentum == momentum_of(trained.optimizer.param_groups[0])
        trained.steps(step, step + 1)
    assert name != "adam" or trained.optimizer.param_groups[0]["betas"][1] == 0.999


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("until", [1, 7])
def test_resumes_to_the_bit(name: str, until: int) -> None:
    whole = Trained(name).steps(0, 12)
    first = Trained(name).steps(0, until)
    state = copy.deepcopy((first.network.state_dict(), first.update.state_dict()))
    again = Trained(name)
    again.network.load_state_dict(state[0])
    again.update.load_state_dict(state[1])
    assert again.update.momentum == first.update.momentum
    assert torch.equal(again.steps(until, 12).weights(), whole.weights())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_changes_what_is_learnt(name: str) -> None:
    moved, steady = Trained(name), Trained(name, lambda _: 0.95)
    assert torch.equal(moved.steps(0, 1).weights(), steady.steps(0, 1).weights())
    assert not torch.equal(moved.steps(1, 4).weights(), steady.steps(1, 4).weights())


def test_momentum_from_nothing_is_that_of_the_formula() -> None:
    """v = m v + g; w = w - lr v, with m = 0, 1/4, 1/2 and a buffer that begins with the first that is not 0."""
    weight = nn.Parameter(torch.zeros(1))
    optimizer = SGD([weight], lr=1.0, momentum=0.9)
    curve = linear(plan=PLAN, initial_momentum=0.0, final_momentum=0.75, over_steps=3)
    scaler = Precision("fp32", device=torch.device("cpu")).scaler()
    schedule = with_momentum(Constant(), optimizer, curve, plan=PLAN)
    update = Update("model", optimizer, scheduler=schedule, scaler=scaler, alone=True)
    places = []
    for slope in (1.0, 2.0, 4.0):
        update.apply([(weight * slope).sum()])
        places.append(-weight.item())
    assert places == [1.0, 1.0 + 2.0, 3.0 + (0.5 * 2.0 + 4.0)]


def test_curves_end_where_they_should() -> None:
    line = linear(plan=PLAN, initial_momentum=0.5, final_momentum=0.9, over_epochs=2)
    assert [line(step) for step in (0, 4, 8, 15)] == pytest.approx([0.5, 0.7, 0.9, 0.9])
    half = cosine(plan=PLAN, initial_momentum=0.5, final_momentum=0.9)
    assert [half(step) for step in (0, 5, 10, 20)] == pytest.approx([0.5, 0.5 + 0.2 * (1 - math.sqrt(0.5)), 0.7, 0.9])
    uneven = TRIANGLE(fall_steps=2, rise_steps=6)
    assert [uneven(step) for step in (0, 1, 2, 5, 8)] == pytest.approx([0.95, 0.9, 0.85, 0.9, 0.95])


def test_a_state_of_another_length_follows_the_new_curve_at_once() -> None:
    optimizers = [SGD([nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.5) for _ in range(2)]
    short, long = (
        with_momentum(Constant(), optimizer, linear(plan=plan, initial_momentum=0.1, final_momentum=0.9), plan=plan)
        for optimizer, plan in zip(optimizers, (PLAN, Plan.of(4, epochs=10)), strict=True)
    )
    for _ in range(20):
        short.step()
    long.load_state_dict(short.state_dict())
    assert [momentum_of(optimizer.param_groups[0]) for optimizer in optimizers] == pytest.approx([0.9, 0.5])


def test_what_moves_is_told_and_nothing_else() -> None:
    trained = Trained("adam")
    assert momenta({"model": trained.update}) == {"momentum": 0.95}
    scaler = Precision("fp32", device=torch.device("cpu")).scaler()

    def told(schedule: Scheduler, *, alone: bool) -> dict[str, float]:
        return momenta({"a": Update("a", trained.optimizer, scheduler=schedule, scaler=scaler, alone=alone)})

    assert told(CYCLIC(trained.optimizer), alone=True) == {}
    assert told(Constant(), alone=True) == {}
    assert told(schedulers.one_cycle(trained.optimizer, plan=PLAN), alone=False) == {"momentum/a": 0.95}


@pytest.mark.parametrize(
    ("name", "curve", "schedule", "message"),
    [
        ("adam", lambda _: 1.0, CYCLIC, "at least 0 and less than 1, got 1 after 0 steps"),
        ("sgd", lambda step: 0.1 * min(step, 2), CYCLIC, "SGD must be more than 0 and less than 1, got 0"),
        ("rmsprop", lambda _: 0.0, CYCLIC, "RMSprop must be more than 0"),
        (
            "adam",
            None,
            partial(schedulers.one_cycle, plan=PLAN),
            "set scheduler.cycle_momentum=false, or momentum=null",
        ),
    ],
)
def test_what_cannot_be_is_refused(
    name: str, curve: Curve | None, schedule: Callable[..., Scheduler], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Trained(name, curve, schedule=schedule)


def test_an_optimizer_without_momentum_is_refused() -> None:
    optimizer = Adadelta([nn.Parameter(torch.ones(1))])
    with pytest.raises(ValueError, match="Adadelta, which has neither momentum nor betas; set momentum=null"):
        with_momentum(Constant(), optimizer, TRIANGLE(fall_steps=2), plan=PLAN)


@pytest.mark.parametrize(
    ("durations", "message"),
    [({}, "momentum.fall is needed"), ({"fall_steps": 1, "fall_epochs": 1}, "in epochs or in steps, not both")],
)
def test_durations_are_checked(durations: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TRIANGLE(**durations)
