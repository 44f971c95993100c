"""What a search may choose from, as a command line says it."""

from __future__ import annotations

from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from runner.problem import Refused
from runner.search.space import Dimension, Space, space_of


def space(*overrides: str) -> Space:
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    return space_of(parsed, is_group=lambda key: key in ("model", "optimizer"))


def only(override: str) -> Dimension:
    (dimension,) = space(override).dimensions
    return dimension


@pytest.mark.parametrize(
    ("override", "dimension"),
    [
        ("a.lr=interval(0.1,1)", {"low": 0.1, "high": 1.0}),
        ("a.lr=tag(log,interval(1e-5,1e-1))", {"low": 1e-5, "high": 0.1, "log": True}),
        ("a.lr=int(interval(1,10))", {"low": 1, "high": 10}),
        ("a.lr=tag(log,int,interval(1,10))", {"low": 1, "high": 10, "log": True}),
        ("a.lr=range(0,10,3)", {"low": 0, "high": 9, "step": 3}),
        ("a.lr=range(10,0,-5)", {"low": 5, "high": 10, "step": 5}),
        ("a.lr=range(0,1,0.25)", {"low": 0.0, "high": 0.75, "step": 0.25}),
        ("a.lr=choice(4,x,4)", {"choices": ("4", "x")}),
        ("a.lr=[4],[8,2]", {"choices": ("[4]", "[8,2]")}),
        ("a.lr=shuffle(3,1,2)", {"choices": ("3", "1", "2")}),
        ("model=mlp,lenet", {"key": "model", "group": True, "choices": ("mlp", "lenet")}),
        ("+a.lr=1,2", {"key": "+a.lr", "choices": ("1", "2")}),
    ],
)
def test_what_the_command_line_means(override: str, dimension: dict[str, Any]) -> None:
    found, expected = only(override), Dimension(**({"key": "a.lr"} | dimension))
    assert found == expected
    assert [type(end) for end in (found.low, found.high)] == [type(end) for end in (expected.low, expected.high)]


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("a.lr=interval(1,0.1)", "holds no value"),
        ("a.lr=range(3,1)", "holds no value"),
        ("a.lr=tag(log,interval(0,1))", "a logarithm needs numbers above 0"),
        ("a.lr=tag(log,range(1,9))", "a range has equal steps"),
        ("model=interval(0,1)", "takes an option by name"),
        ("seed=interval(0,1)", "each trial trains all seeds"),
        ("a.lr=0.1", "there is nothing to search"),
        ("seed=0,1", "there is nothing to search"),
    ],
)
def test_what_cannot_be_searched(override: str, text: str) -> None:
    with pytest.raises(Refused, match=text):
        space(override)


def test_all_that_is_wrong_is_said() -> None:
    with pytest.raises(Refused) as refused:
        space("a=interval(1,0)", "b=range(1,0)", "c=1,2")
    assert [line.partition("=")[0] for line in refused.value.problems] == ["a", "b"]


def test_seeds_are_no_dimension_and_the_rest_is_fixed() -> None:
    found = space("seed=0,2", "a=1,2", "trainer.steps=3", "~b", "a=3,4")
    assert found == Space([Dimension("a", choices=("3", "4"))], ["trainer.steps=3", "~b"], ["0", "2"])
    assert found.overrides({"a": "4"}) == [["trainer.steps=3", "~b", "a=4", f"seed={seed}"] for seed in (0, 2)]
    assert space("seed=range(1,7,2)", "a=1,2").seeds == ["1", "3", "5"]


def test_numbers_survive_as_overrides() -> None:
    value = 0.1 + 0.2
    (override,) = OverridesParser.create().parse_overrides([Dimension("a").override(value)])
    assert override.value() == value
    assert Dimension("a").shown(value) == "0.3"


def test_corners_try_each_option_with_the_ends_and_every_choice() -> None:
    corners = list(space("model=mlp,vgg", "lr=interval(0.1,1)", "width=1,2,3").corners())
    assert [corner["model"] for corner in corners] == ["mlp"] * 4 + ["vgg"] * 4
    assert [(corner["lr"], corner["width"]) for corner in corners[:4]] == [
        (0.1, "1"),
        (1.0, "3"),
        (0.1, "2"),
        (0.1, "3"),
    ]
    assert list(space("model=mlp,vgg", "x=1,2").options()) == [("model=mlp",), ("model=vgg",)]
