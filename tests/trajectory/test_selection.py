"""Which weights are recorded."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from runner.tasks import Classification
from runner.trajectory.selection import Selection, matches


def task() -> nn.Module:
    features = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    model = nn.ModuleDict({"features": features, "head": nn.Linear(4, 3)})
    return Classification(model, nn.CrossEntropyLoss())


def names(**settings: Any) -> list[str]:
    return [name.removeprefix("model.") for name in Selection(**settings).of(task())]


def test_norms_and_biases_are_left_out_unless_asked_for() -> None:
    assert names() == ["features.0.weight", "head.weight"]
    everything = [
        "features.0.weight",
        "features.0.bias",
        "features.1.weight",
        "features.1.bias",
        "head.weight",
        "head.bias",
    ]
    assert names(norms_and_biases=True) == everything


def test_buffers_come_when_asked_for_without_counters() -> None:
    found = names(norms_and_biases=True, buffers=True)
    assert found[6:] == ["features.1.running_mean", "features.1.running_var"]


def test_include_and_exclude_act() -> None:
    assert names(include=["head"]) == ["head.weight"]
    assert names(exclude=["head"]) == ["features.0.weight"]
    assert names(include=["features", "head"], exclude=["re:^features"]) == ["head.weight"]
    assert names(include=["*.0.weight"]) == ["features.0.weight"]


def test_patterns_are_parts_globs_or_regular_expressions() -> None:
    name = "model.layer1.0.conv1.weight"
    assert matches("layer1", name)
    assert matches("layer?.*.weight", name)
    assert not matches("conv?", name)  # a glob covers the whole name
    assert matches(r"re:conv\d\.", name)
    assert matches(r"re:^layer1", name)  # with and without the network's name
    assert not matches(r"re:^conv", name)


def test_a_pattern_that_matches_nothing_is_told() -> None:
    lines = [problem.line() for problem in Selection(include=["head", "tail"], exclude=["re:^x"]).problems(task())]
    assert len(lines) == 2
    assert lines[0].startswith("include=tail: ")
    assert "matches none of the 6 names (model.features.0.weight" in lines[0]
    assert lines[1].startswith("exclude=re:^x")


def test_a_selection_that_leaves_nothing_is_told() -> None:
    (problem,) = Selection(exclude=["weight"]).problems(task())
    assert "leaves no weights to record, for norms and biases are left out" in problem.line()
    (problem,) = Selection(exclude=["model"], norms_and_biases=True).problems(task())
    assert problem.key == "exclude"


def test_each_pattern_has_to_record_something() -> None:
    (problem,) = Selection(include=["features", "head.bias"]).problems(task())
    assert problem.line().startswith("include=head.bias: head.bias matches only norms and biases, which are left out; ")
    assert not list(Selection(include=["features", "head.bias"], norms_and_biases=True).problems(task()))
    assert not list(Selection(exclude=["bias"]).problems(task()))


@pytest.mark.parametrize(("given", "remedy"), [("head", ["head"]), ([0], ["0"]), (None, [])])
def test_patterns_are_a_list(given: Any, remedy: list[str]) -> None:
    with pytest.raises(ValueError, match="list of patterns") as refused:
        Selection(exclude=given)
    assert str(refused.value).endswith(f"set trajectory.exclude={remedy}")


def test_what_is_no_regular_expression_is_refused() -> None:
    with pytest.raises(ValueError, match=r"include has 're:\('"):
        Selection(include=["re:("])
