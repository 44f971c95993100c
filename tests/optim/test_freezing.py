"""Parameters that stay as they are until an epoch, or for ever."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor, nn
from torch.optim import SGD

from runner.observers.observer import EvaluationRecord, Outcome, RunInfo, StepRecord
from runner.optim import Freezing, build_optimizer, thaw_epochs
from runner.optim.freezing import faults, told
from runner.plan import Plan
from runner.session import Session
from runner.tasks import Task

THAW = 5  # steps: an epoch of the tiny data
STEM = {"0.*": 1, "model.1.*": 1}  # its convolution and its batch norm


class Weights:
    """An observer that keeps all weights and buffers of each step, and what an optimizer remembers of them."""

    def __init__(self) -> None:
        self.task: Task | None = None
        self.seen: list[dict[str, Tensor]] = []

    def started(self, run: RunInfo) -> None:
        self.task = run.task
        self.stepped(0)

    def stepped(self, step: int) -> None:  # noqa: ARG002
        assert self.task is not None, "started comes first"
        self.seen.append({name: tensor.clone() for name, tensor in self.task.state_dict().items()})

    def settled(self) -> None: ...

    def logged(self, record: StepRecord) -> None: ...

    def evaluated(self, record: EvaluationRecord) -> None: ...

    def finished(self, outcome: Outcome) -> None: ...

    def changed_at(self, name: str) -> list[int]:
        """The steps that changed it."""
        return [
            step
            for step in range(1, len(self.seen))
            if not torch.equal(self.seen[step - 1][name], self.seen[step][name])
        ]


def watched(freeze: Mapping[str, float | None], kind: str = "classification", **settings: Any) -> Weights:
    weights = Weights()
    tiny.session(kind, freeze=freeze, observers=[weights], **settings).train()
    return weights


@pytest.mark.parametrize("settings", [{}, {"micro_batches": 2}, {"precision": "bf16"}, {"ema_decay": 0.9}], ids=str)
def test_what_is_frozen_keeps_its_bytes_until_it_thaws(settings: dict[str, Any]) -> None:
    seen, every = watched(STEM, **settings), [*range(1, 15)]
    assert seen.changed_at("model.0.weight") == seen.changed_at("model.1.weight") == every[THAW:]
    assert seen.changed_at("model.1.running_mean") == seen.changed_at("model.1.num_batches_tracked") == every[THAW:]
    assert seen.changed_at("model.5.weight") == every


def test_steps_that_a_loss_scale_skips_change_nothing_about_it() -> None:
    changed = watched(STEM, precision="fp16").changed_at("model.0.weight")
    assert changed
    assert min(changed) > THAW


def test_for_ever_is_for_ever() -> None:
    seen = watched({"0.*": None, "1.*": None})
    assert seen.changed_at("model.0.weight") == seen.changed_at("model.1.running_var") == []
    assert len(seen.changed_at("model.5.weight")) == 14


def test_statistics_follow_the_data_while_a_part_of_the_layer_is_trained() -> None:
    seen = watched({"1.weight": 1, "0.*": 1})
    assert seen.changed_at("model.1.weight") == [*range(THAW + 1, 15)]
    assert len(seen.changed_at("model.1.running_mean")) == 14


def test_of_several_networks_one_is_named() -> None:
    seen = watched({"generator.1.*": 1}, "gan")
    assert seen.changed_at("generator.1.weight") == [*range(THAW + 1, 15)]
    assert len(seen.changed_at("discriminator.1.weight")) == 14


def frozen_by_hand() -> Session:
    """The tiny classifier whose stem gets no gradient, and whose norm is one that evaluates."""
    made = tiny.session()
    assert isinstance(made.task.model, nn.Sequential)
    for layer in made.task.model[:2]:
        layer.requires_grad_(False)
    made.task.model[1].register_forward_pre_hook(lambda layer, _: layer.eval() and None)
    return made


def test_the_frozen_part_is_what_freezing_by_hand_gives() -> None:
    by_hand, ours = frozen_by_hand(), tiny.session(freeze={"0.*": None, "1.*": None})
    by_hand.train()
    ours.train()
    assert not tiny.differing(by_hand, ours)


def test_from_the_thaw_on_it_is_trained_as_if_it_began() -> None:
    made = tiny.session(freeze=STEM)
    made.plan = made.plan.until(THAW)
    made.train()
    optimizer = made.updates["model"].optimizer
    stem, head = made.task.get_parameter("model.0.weight"), made.task.get_parameter("model.5.weight")
    assert stem not in optimizer.state
    made.plan = made.plan.until(THAW + 2)
    made.train()
    assert (optimizer.state[stem]["step"], optimizer.state[head]["step"]) == (2, THAW + 2)


@pytest.mark.parametrize("settings", [{"nesterov": True}, {"dampening": 0.5}, {"weight_decay": 0.1}], ids=str)
def test_the_fused_kernel_begins_late_as_the_plain_one_does(settings: dict[str, Any]) -> None:
    def trained(fused: bool) -> nn.Module:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
        made, until = nn.ModuleDict({"model": network}), {"0.*": 1}
        factory = partial(SGD, lr=0.1, momentum=0.9, fused=fused, **settings)
        thaws = {name.removeprefix("model."): epoch for name, epoch in thaw_epochs(made, until).items()}
        optimizer = build_optimizer(factory, network, groups={}, decay_norms_and_biases=True, thaws=thaws)
        freezing = Freezing(made, until, plan=PLAN)
        for step in range(8):
            freezing.begin(step)
            optimizer.zero_grad()
            network(torch.full((5, 3), 1.0 + step)).square().mean().backward()
            optimizer.step()
        return network

    for plain, fused in zip(trained(False).parameters(), trained(True).parameters(), strict=True):
        assert torch.allclose(plain, fused, atol=1e-6)


@pytest.mark.parametrize("until", [2, THAW, THAW + 1])
@pytest.mark.parametrize("kind", ["classification", "gan"])
def test_resumes_to_the_bit(kind: str, until: int, tmp_path: Path) -> None:
    freeze = STEM if kind == "classification" else {"generator.1.*": 1, "generator.0.*": 2}
    make = partial(tiny.session, kind, freeze=freeze, precision="fp32")
    whole = make(folder=tmp_path / "whole")
    whole.train()
    half = make(folder=tmp_path / "half")
    half.plan = half.plan.until(until)
    half.train()
    again = make(folder=tmp_path / "half")
    assert again.state.step == until
    again.train()
    assert tiny.differing(whole, again) == []


PLAN = Plan.of(4, epochs=5)  # 20 steps


def task(**settings: Any) -> tuple[Task, dict[str, torch.optim.Optimizer]]:
    made = tiny.task_of("classification")
    factory = partial(SGD, lr=0.1)
    groups = settings.get("groups", {})
    return made, {
        "model": build_optimizer(factory, made.networks()["model"], groups=groups, decay_norms_and_biases=True)
    }


@pytest.mark.parametrize(
    ("freeze", "groups", "message"),
    [
        ({"6.*": 1}, {}, "freeze.6.*=1: matches no parameter that is trained; the closest names are 5.*"),
        ({"*": 1, "0.*": 2}, {}, "freeze.0.*=2: is left no parameter: * come first; put it before"),
        ({"0.*": 5}, {}, "freeze.0.*=5: is no epoch within the training, which has 5; thaw earlier"),
        ({"0.*": 0}, {}, "freeze.0.*=0: must be the epoch at which they thaw, or null for never"),
        ({"0.*": True}, {}, "freeze.0.*=True: must be the epoch"),
        ({"0.*": "late"}, {}, "freeze.0.*=late: must be the epoch"),
        ({"*": None}, {}, "freeze: leaves nothing of 'model' to train in step 1 of 20; freeze less of it"),
        ({"*": 2}, {}, "freeze: leaves nothing of 'model' to train in step 1 of 20"),
        ({"[01].*": 3}, {"5.*": {"train_epochs": 2}}, "leaves nothing of 'model' to train in step 9 of 20"),
        ({"0.*": 2}, {"0.*": {"train_epochs": 2}}, "thaws at step 8 what is trained for 8 steps only"),
    ],
)
def test_what_cannot_be_is_refused(freeze: dict[str, Any], groups: dict[str, Any], message: str) -> None:
    made, optimizers = task(groups=groups)
    found = [problem.line() for problem in faults(made, freeze, plan=PLAN, optimizers=optimizers)]
    assert len(found) == 1
    assert message in found[0]
    if groups or message.startswith(("freeze: ", "freeze.0.*=5")):
        Freezing(made, freeze, plan=PLAN)  # a search for a rate may be shorter, and has optimizers of its own
        return
    with pytest.raises(ValueError, match="freeze"):
        Freezing(made, freeze, plan=PLAN)


def test_a_group_may_thaw_and_end() -> None:
    made, optimizers = task(groups={"0.*": {"train_epochs": 3}})
    assert list(faults(made, {"0.*": 2}, plan=PLAN, optimizers=optimizers)) == []


def test_it_says_what_is_frozen_and_for_how_long() -> None:
    made, _ = task()
    text = "0.*: 2 parameters (40 weights) until epoch 1.5 (step 6); 1.*: 2 parameters (8 weights) for ever; "
    assert told(made, {"0.*": 1.5, "1.*": None}, plan=PLAN) == text + "normalising layers that keep their statistics: 1"


def test_what_was_frozen_already_does_not_thaw() -> None:
    made, _ = task()
    made.get_parameter("model.0.bias").requires_grad_(False)
    freezing = Freezing(made, {"0.*": 1}, plan=PLAN)
    for step in (0, 4):
        freezing.begin(step)
        assert made.get_parameter("model.0.weight").requires_grad == (step == 4)
        assert not made.get_parameter("model.0.bias").requires_grad


def test_a_norm_without_parameters_is_frozen_with_its_neighbours() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, affine=False), nn.Linear(2, 2))
    made = nn.ModuleDict({"model": model})
    freezing = Freezing(made, {"model.[01].*": 2}, plan=PLAN)
    for step, training in ((0, False), (7, False), (8, True)):
        made.train()
        freezing.begin(step)
        assert model[1].training == training


def test_a_norm_thaws_between_two_evaluations() -> None:
    """After which alone the whole task is put into training mode again."""
    made = nn.ModuleDict({"model": nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))}).train()
    freezing = Freezing(made, {"1.*": 2}, plan=PLAN)
    freezing.begin(7)
    assert not made["model"].get_submodule("1").training
    freezing.begin(8)
    assert made["model"].get_submodule("1").training


def test_an_earlier_step_freezes_again() -> None:
    made, _ = task()
    freezing = Freezing(made, {"0.*": 1}, plan=PLAN)
    weight = made.get_parameter("model.0.weight")
    seen = []
    for step in (0, 4, 3):
        freezing.begin(step)
        seen.append(weight.requires_grad)
    assert seen == [False, True, False]
