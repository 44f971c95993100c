"""The pieces of a run's training."""

from __future__ import annotations

from typing import Any

import pytest

from runner.results.phases import Phase, left_after, phases

NOW = {"trainer.epochs": 20, "trainer.steps": None}


def session(first_step: int, **changed: list[Any]) -> dict[str, Any]:
    return {"first_step": first_step, "changed": {key.replace("__", "."): pair for key, pair in changed.items()}}


def test_a_run_that_was_never_extended_is_one_piece() -> None:
    interrupted = [session(0), session(7), session(9, config__trainer__workers=[2, 0])]
    assert phases(interrupted, NOW) == phases([session(0)], NOW) == phases([], NOW) == [Phase(NOW)]


def test_each_extension_begins_a_piece() -> None:
    sessions = [
        session(0),
        session(30, config__trainer__epochs=[5, 10]),
        session(35),
        session(60, config__trainer__epochs=[10, 20], config__trainer__steps=[70, None]),
    ]
    assert phases(sessions, NOW) == [
        Phase({"trainer.epochs": 5, "trainer.steps": 70}, 30),
        Phase({"trainer.epochs": 10, "trainer.steps": 70}, 60),
        Phase(NOW),
    ]


def test_the_budget_as_overrides() -> None:
    assert Phase(NOW).overrides() == ["trainer.epochs=20", "trainer.steps=null"]
    assert Phase({"trainer.epochs": 20, "trainer.steps": 7}).overrides() == ["trainer.steps=7"]


@pytest.mark.parametrize(
    ("steps", "left"),
    [(None, [30, 60, None]), (10, [10]), (30, [30]), (31, [30, 31]), (60, [30, 60]), (99, [30, 60, 99])],
)
def test_what_is_left_of_them_by_a_step(steps: int | None, left: list[int | None]) -> None:
    whole = [Phase({}, 30), Phase({}, 60), Phase({})]
    assert [phase.until_steps for phase in left_after(whole, steps)] == left
