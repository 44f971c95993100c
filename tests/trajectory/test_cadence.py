"""Which steps are recorded."""

from __future__ import annotations

from typing import Any

import pytest

from runner.plan import Plan
from runner.trajectory.cadence import Cadence

PLAN = Plan.of(steps_per_epoch=4, steps=14)


def steps(plan: Plan = PLAN, **settings: Any) -> list[int]:
    return list(Cadence(**settings).steps(plan))


def test_each_cadence_has_its_steps() -> None:
    assert steps(every_epochs=1) == [0, 4, 8, 12, 14]
    assert steps(every_epochs=2) == [0, 8, 14]
    assert steps(every_epochs=1, at_steps=[1, 3]) == [0, 1, 3, 5, 7, 9, 11, 13, 14]
    assert steps(every_epochs=2, at_steps=[0, 1]) == [0, 1, 8, 9, 14]
    assert steps(every_steps=5) == [0, 5, 10, 14]


def test_a_logarithmic_one_has_as_many_in_each_decade() -> None:
    long = steps(Plan.of(steps_per_epoch=100, steps=10_000), per_decade=4)
    assert long == [0, 1, 2, 3, 6, 10, 18, 32, 56, 100, 178, 316, 562, 1000, 1778, 3162, 5623, 10_000]


def test_an_extended_run_has_the_steps_of_a_longer_one() -> None:
    short, long = Plan.of(steps_per_epoch=4, steps=16), Plan.of(steps_per_epoch=4, steps=32)
    for cadence in (Cadence(per_decade=6), Cadence(every_steps=8), Cadence(every_epochs=2)):
        assert [step for step in cadence.steps(long) if step <= 16] == [
            s for s in cadence.steps(short) if cadence.due(s, long)
        ]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "got none"),
        ({"every_steps": 2, "every_epochs": 1}, "every_epochs=1, every_steps=2"),
        ({"every_steps": 0}, "at least 1, got 0"),
        ({"per_decade": -3}, "at least 1, got -3"),
        ({"every_epochs": 0.5}, "whole number"),
        ({"every_epochs": 1, "at_steps": []}, "positions from 0 on"),
        ({"every_epochs": 1, "at_steps": [-1]}, "positions from 0 on"),
        ({"every_steps": "abc"}, "whole number, at least 1, got abc"),
        ({"every_epochs": True}, "whole number"),
        ({"every_epochs": 1, "at_steps": 5}, "list of whole numbers, got 5"),
        ({"every_epochs": 1, "at_steps": ["a"]}, "list of whole numbers"),
        ({"every_epochs": 1, "at_steps": [0.5]}, "list of whole numbers"),
        ({"every_steps": 1, "at_steps": [3]}, "go with every_epochs only"),
    ],
)
def test_what_is_no_cadence_is_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Cadence(**settings)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"every_epochs": 4}, "every_epochs=4: would record nothing of the 14 steps"),
        ({"every_steps": 15}, "every_steps=15: would record nothing"),
        ({"every_epochs": 1, "at_steps": [0, 4]}, "no position 4; set trajectory.at_steps=[…] below 4"),
    ],
)
def test_a_cadence_that_would_save_nothing_is_told(settings: dict[str, Any], line: str) -> None:
    (problem,) = Cadence(**settings).problems(PLAN)
    assert line in problem.line()


def test_what_records_something_has_no_problem() -> None:
    for cadence in (Cadence(every_epochs=3), Cadence(every_steps=14), Cadence(per_decade=1)):
        assert list(cadence.problems(PLAN)) == []
