"""Durations become steps, once, and questions about a step are answered from them."""

from __future__ import annotations

import pytest

from runner.plan import Plan, steps_of


def test_epochs_and_steps_mean_the_same_timetable() -> None:
    by_epochs = Plan.of(10, epochs=3, evaluate_every_epochs=0.5, save_every_epochs=2)
    by_steps = Plan.of(10, steps=30, evaluate_every_steps=5, save_every_steps=20)
    assert by_epochs == by_steps


def test_a_cadence_that_is_not_given_is_one_epoch() -> None:
    plan = Plan.of(7, steps=20)
    assert (plan.evaluate_every_steps, plan.save_every_steps) == (7, 7)


@pytest.mark.parametrize("question", ["logs", "evaluates", "saves"])
def test_the_last_step_is_always_one_of_them(question: str) -> None:
    plan = Plan.of(4, steps=10, evaluate_every_steps=4, save_every_steps=4, log_every_steps=4)
    assert [step for step in range(1, 11) if getattr(plan, question)(step)] == [4, 8, 10]


def test_position_and_epoch_of_a_step() -> None:
    plan = Plan.of(4, steps=10)
    assert [plan.position(step) for step in (0, 3, 4, 9)] == [(0, 0), (0, 3), (1, 0), (2, 1)]
    assert (plan.epoch(6), plan.total_epochs) == (1.5, 3)


def test_a_cut_plan_ends_sooner_and_keeps_its_cadences() -> None:
    plan = Plan.of(4, steps=10, evaluate_every_steps=3)
    assert plan.cut(None) is plan
    assert plan.cut(5).total_steps == 5
    assert plan.cut(50).total_steps == 10
    assert plan.cut(5).evaluates(5)
    assert plan.cut(5).evaluate_every_steps == 3


@pytest.mark.parametrize(
    ("durations", "message"),
    [
        ({"epochs": 1, "steps": 5}, "the budget may be given in epochs or in steps, not both: got 1 epochs and 5"),
        ({}, "a budget is needed"),
        ({"steps": 0}, "the budget must last at least one step, got 0 steps"),
        ({"epochs": 0.01}, "the budget must last at least one step, got 0.01 epochs"),
        ({"steps": 5, "evaluate_every_steps": -1}, "evaluation must last at least one step"),
        ({"steps": 5, "save_every_epochs": 1e-6}, "saving must last at least one step"),
        ({"steps": 5, "log_every_steps": 0}, "log_every_steps must be at least 1, got 0"),
        ({"epochs": float("inf")}, "the budget must"),
        ({"epochs": float("nan")}, "the budget must"),
    ],
)
def test_impossible_durations_are_refused(durations: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Plan.of(10, **durations)  # type: ignore[arg-type]


def test_no_duration_is_none_and_zero_is_not_none() -> None:
    assert steps_of("x", epochs=None, steps=None, steps_per_epoch=3) is None
    with pytest.raises(ValueError, match="x must last"):
        steps_of("x", epochs=0, steps=None, steps_per_epoch=3)
