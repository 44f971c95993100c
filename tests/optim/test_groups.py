"""Parameter groups by name, and decay of norms and biases."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import nn

from runner.optim import Muon, build_optimizer, parameter_groups


def network() -> nn.Module:
    return nn.ModuleDict(
        {
            "body": nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.GroupNorm(2, 4)),
            "attention": nn.MultiheadAttention(4, 2),
            "head": nn.Linear(4, 3),
        }
    )


def named(module: nn.Module, group: dict[str, Any]) -> list[str]:
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    return [names[id(parameter)] for parameter in group["params"]]


def test_without_settings_there_is_one_group_in_order() -> None:
    module = network()
    groups = parameter_groups(module, groups={}, decay_norms_and_biases=True)
    assert [set(group) for group in groups] == [{"params"}]
    assert named(module, groups[0]) == [name for name, _ in module.named_parameters()]


def test_the_first_pattern_that_matches_wins_and_the_rest_comes_first() -> None:
    module = network()
    patterns = {"head.weight": {"lr": 0.5}, "head.*": {"lr": 0.1}}
    rest, weight, bias = parameter_groups(module, groups=patterns, decay_norms_and_biases=True)
    assert (named(module, weight), weight["lr"]) == (["head.weight"], 0.5)
    assert (named(module, bias), bias["lr"]) == (["head.bias"], 0.1)
    assert "lr" not in rest
    assert not any(name.startswith("head") for name in named(module, rest))


def test_norms_and_biases_are_not_decayed_unless_a_pattern_says_so() -> None:
    module = network()
    patterns = {"head.*": {"weight_decay": 0.3}}
    decayed, undecayed, head, head_bias = parameter_groups(module, groups=patterns, decay_norms_and_biases=False)
    assert named(module, decayed) == ["body.0.weight", "attention.in_proj_weight", "attention.out_proj.weight"]
    assert named(module, undecayed) == [
        "body.0.bias",
        "body.1.weight",
        "body.1.bias",
        "body.2.weight",
        "body.2.bias",
        "attention.in_proj_bias",
        "attention.out_proj.bias",
    ]
    assert undecayed["weight_decay"] == 0.0
    assert head["weight_decay"] == head_bias["weight_decay"] == 0.3


def test_frozen_parameters_are_left_out() -> None:
    module = network()
    module.get_submodule("body").requires_grad_(False)
    (group,) = parameter_groups(module, groups={}, decay_norms_and_biases=True)
    assert not any(name.startswith("body") for name in named(module, group))
    module.requires_grad_(False)
    with pytest.raises(ValueError, match="nothing to train"):
        parameter_groups(module, groups={}, decay_norms_and_biases=True)


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        ({"heed.*": {"lr": 1.0}}, r"'heed\.\*'.*matches no parameter.*head\.\*"),
        ({"*": {"lr": 1.0}, "head.*": {"lr": 2.0}}, r"'head\.\*'.*is left no parameter: \* "),
    ],
)
def test_a_pattern_without_a_parameter_is_refused(patterns: dict[str, dict[str, float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parameter_groups(network(), groups=patterns, decay_norms_and_biases=True)


def test_build_optimizer_refuses_what_the_optimizer_does_not_have() -> None:
    factory = functools.partial(torch.optim.SGD, lr=0.1)
    with pytest.raises(ValueError, match=r"sets lrr, which SGD lacks.*momentum"):
        build_optimizer(factory, network(), groups={"head.*": {"lrr": 1.0}}, decay_norms_and_biases=True)


def test_build_optimizer_gives_each_group_its_arguments() -> None:
    factory = functools.partial(Muon, lr=0.02)
    optimizer = build_optimizer(
        factory, network(), groups={"head.*": {"lr": 0.3, "muon": False}}, decay_norms_and_biases=True
    )
    rates = {(group["muon"], group["lr"]) for group in optimizer.param_groups}
    assert rates == {(True, 0.02), (False, 3e-4), (False, 0.3)}
