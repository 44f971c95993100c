"""Parameters that are trained for a while only."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import distributed, nn
from torch.optim import SGD, Adam, Optimizer

from runner.optim import Muon, Schedule, Scheduler, build_optimizer, ending, schedulers, wrap
from runner.plan import Plan
from runner.precision import Precision
from runner.update import Update

PLAN = Plan.of(4, epochs=5, evaluate_every_steps=4)  # 20 steps
END = 8

SCHEDULES: dict[str, Callable[..., Scheduler]] = {
    "constant": schedulers.constant,
    "linear": schedulers.linear,
    "cosine in stairs": partial(schedulers.cosine, interval="evaluation"),
    "one_cycle": partial(schedulers.one_cycle, cycle_momentum=False),
    "torch's": lambda optimizer, plan: wrap(torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)),  # noqa: ARG005
}


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


class Trained:
    """A network under SGD whose first bias is trained for ``END`` steps."""

    def __init__(self, name: str = "linear", *, alone: bool = True, **group: Any) -> None:
        self.network = network()
        groups = {"0.bias": group or {"train_epochs": 2}}
        factory = partial(SGD, lr=0.1, momentum=0.9, weight_decay=0.1)
        self.optimizer = build_optimizer(factory, self.network, groups=groups, decay_norms_and_biases=True)
        schedule = ending(SCHEDULES[name](self.optimizer, plan=PLAN), self.optimizer, plan=PLAN)
        scaler = Precision("fp32", device=torch.device("cpu")).scaler()
        self.update = Update("model", self.optimizer, scheduler=schedule, scaler=scaler, alone=alone)

    def steps(self, first: int, last: int) -> Trained:
        for step in range(first, last):
            torch.manual_seed(step)
            self.update.apply([self.network(torch.randn(5, 3)).square().mean()])
            if (step + 1) % PLAN.evaluate_every_steps == 0:
                self.update.evaluated({"valid/loss": 1.0})
        return self

    @property
    def bias(self) -> torch.Tensor:
        return self.network.get_parameter("0.bias").detach().clone()


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("name", SCHEDULES)
def test_its_time_ends_and_the_rest_goes_on(name: str, alone: bool) -> None:
    trained = Trained(name, alone=alone)
    biases, weights = [], []
    for step in range(12):
        trained.steps(step, step + 1)
        biases.append(trained.bias)
        weights.append(trained.network.get_parameter("0.weight").detach().clone())
        assert trained.network.get_parameter("0.bias").requires_grad == (step + 1 < END)
    assert all(not torch.equal(one, other) for one, other in pairwise(biases[:END]))
    assert all(torch.equal(biases[END - 1], later) for later in biases[END:])
    assert all(not torch.equal(one, other) for one, other in pairwise(weights))


@pytest.mark.parametrize("group", [{"train_epochs": 2}, {"train_steps": END}])
def test_a_line_falls_to_the_end_of_each_group(group: dict[str, Any]) -> None:
    trained = Trained("linear", **group)
    for step in range(PLAN.total_steps):
        rest, bias = (group["lr"] for group in trained.optimizer.param_groups)
        assert rest == pytest.approx(0.1 * (1 - step / PLAN.total_steps))
        assert bias == pytest.approx(0.1 * max(1 - step / END, 0))
        trained.steps(step, step + 1)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("until", [3, END, 11])
def test_resumes_to_the_bit(name: str, until: int) -> None:
    whole = Trained(name).steps(0, 16)
    first = Trained(name).steps(0, until)
    state = copy.deepcopy((first.network.state_dict(), first.update.state_dict()))
    again = Trained(name)
    again.network.load_state_dict(state[0])
    again.update.load_state_dict(state[1])
    assert again.network.get_parameter("0.bias").requires_grad == (until < END)
    again.steps(until, 16)
    assert all(map(torch.equal, whole.network.state_dict().values(), again.network.state_dict().values()))


def test_where_gradients_are_reduced_the_same_ones_come_in_each_step() -> None:
    store = distributed.HashStore()  # type: ignore[attr-defined]
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        trained = Trained().steps(0, END)
        ended = trained.bias
        assert torch.equal(trained.steps(END, END + 2).bias, ended)
        assert trained.network.get_parameter("0.bias").requires_grad
    finally:
        distributed.destroy_process_group()
    assert torch.equal(ended, Trained().steps(0, END).bias)


def test_an_earlier_state_is_trained_again() -> None:
    trained = Trained().steps(0, 3)
    state = copy.deepcopy(trained.update.state_dict())
    trained.steps(3, END).update.load_state_dict(state)
    assert trained.network.get_parameter("0.bias").requires_grad


def test_without_an_end_the_schedule_is_what_it_was() -> None:
    optimizer = SGD(network().parameters(), lr=0.1)
    schedule = schedulers.linear(optimizer, plan=PLAN)
    assert ending(schedule, optimizer, plan=PLAN) is schedule


def test_what_a_plateau_follows_is_still_known() -> None:
    optimizer = SGD([{"params": network().parameters(), "train_epochs": 5}], lr=0.1)
    schedule = ending(schedulers.plateau(optimizer, plan=PLAN), optimizer, plan=PLAN)
    assert (schedule.interval, schedule.monitor) == ("evaluation", "valid/loss")


def test_muon_divides_a_group_and_keeps_its_end() -> None:
    model = network()
    groups: list[dict[str, Any]] = [{"params": model[0].parameters(), "train_steps": 3}]
    optimizer = Muon([*groups, {"params": model[2].parameters()}])
    schedule = ending(Schedule(torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)), optimizer, plan=PLAN)
    for _ in range(3):
        schedule.step()
    assert [parameter.requires_grad for parameter in model.parameters()] == [False, False, True, True]


def all_for(**group: Any) -> Optimizer:
    return Adam([{"params": network().parameters(), **group}])


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ({"train_epochs": 2}, "nothing to train after step 8 of 20; take train_epochs or train_steps"),
        ({"train_epochs": 2, "train_steps": 3}, "in epochs or in steps, not both"),
        ({"train_steps": 0}, "must last at least one step, got 0 steps"),
    ],
)
def test_what_cannot_be_is_refused(group: dict[str, Any], message: str) -> None:
    optimizer = all_for(**group)
    with pytest.raises(ValueError, match=message):
        ending(schedulers.constant(optimizer, plan=PLAN), optimizer, plan=PLAN)


def test_a_group_that_is_trained_to_the_end_and_beyond_is_none() -> None:
    trained = Trained("linear", train_steps=50).steps(0, PLAN.total_steps)
    assert trained.network.get_parameter("0.bias").requires_grad
    assert [group["lr"] for group in trained.optimizer.param_groups] == [0, 0]


def test_a_warm_up_must_end_before_the_group() -> None:
    optimizer = all_for(train_steps=4)
    with pytest.raises(ValueError, match=r"shorter than the training, got 5 of 4 steps"):
        schedulers.linear(optimizer, plan=PLAN, warmup_steps=5)
