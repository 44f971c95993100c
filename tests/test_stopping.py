"""Rules that end training before its budget is used."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import tiny

from runner.checkpoint import FolderCheckpoints
from runner.session import Session
from runner.stopping import EarlyStopping, Reached, Rules, Stopping, WallTime

NAN = math.nan


def stopped_at(rule: Stopping, values: list[float]) -> int | None:
    """The evaluation, counted from 1, at which ``rule`` ends a training with these scores."""
    for number, value in enumerate(values, 1):
        if rule.evaluated({"valid/loss": value}):
            return number
    return None


@pytest.mark.parametrize(
    ("settings", "values", "expected"),
    [
        ({"patience_evaluations": 2}, [3, 2, 1, 1, 1], 5),
        ({"patience_evaluations": 2}, [3, 2, 4, 1, 2, 1], 6),
        ({"patience_evaluations": 2}, [3, 4, 2, 4, 1, 4], None),
        ({"patience_evaluations": 1}, [3, 2, 2], 3),
        ({"patience_evaluations": 1, "mode": "max"}, [1, 2, 3, 2], 4),
        ({"patience_evaluations": 1, "mode": "max"}, [1, 2, 3, 4], None),
        ({"patience_evaluations": 2, "min_delta": 0.5}, [3, 2.75, 2.5, 2.0], 3),
        ({"patience_evaluations": 2, "min_delta": 0.5}, [3, 2.75, 2.25, 2.0, 1.5], None),
        ({"patience_evaluations": 2, "min_delta": 0.5, "mode": "max"}, [1, 1.25, 1.5], 3),
        ({"patience_evaluations": 2}, [NAN, NAN], 2),
        ({"patience_evaluations": 2}, [NAN, 1, NAN, 0.5, NAN, NAN], 6),
        ({"patience_evaluations": 2}, [-math.inf, 0, 0], 3),
    ],
)
def test_the_evaluation_at_which_it_ends(settings: dict[str, object], values: list[float], expected: int) -> None:
    assert stopped_at(EarlyStopping(**settings), values) == expected  # type: ignore[arg-type]


def test_the_reason_tells_the_best_and_the_patience() -> None:
    rule = EarlyStopping(patience_evaluations=2)
    assert [rule.evaluated({"valid/loss": value}) for value in (0.5, 0.75)] == ["", ""]
    assert rule.evaluated({"valid/loss": 0.5}) == "valid/loss is no better than 0.5 since 2 evaluations"
    rule = EarlyStopping(patience_evaluations=1, min_delta=0.1)
    rule.evaluated({"valid/loss": 0.5})
    reason = rule.evaluated({"valid/loss": 0.45})
    assert reason == "valid/loss is no better than 0.5 by more than 0.1 since 1 evaluations"
    rule = EarlyStopping(patience_evaluations=1)
    assert rule.evaluated({"valid/loss": NAN}) == "valid/loss was never a number since 1 evaluations"


@pytest.mark.parametrize("told", range(6))
def test_what_it_remembers_comes_back(told: int) -> None:
    values = [3, 2, 2.5, 1.9, 4, 5]
    rule, fresh = (EarlyStopping(patience_evaluations=2) for _ in range(2))
    for value in values[:told]:
        rule.evaluated({"valid/loss": value})
    fresh.load_state_dict(rule.state_dict())
    left = values[told:]
    assert [rule.evaluated({"valid/loss": v}) for v in left] == [fresh.evaluated({"valid/loss": v}) for v in left]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "least"}, "mode of EarlyStopping must be min or max, got least"),
        ({"patience_evaluations": 0}, "patience_evaluations of EarlyStopping must be at least 1, got 0"),
        ({"min_delta": -1.0}, "min_delta of EarlyStopping must not be negative, got -1"),
        ({"min_delta": NAN}, "must not be negative, got nan"),
    ],
)
def test_settings_out_of_range(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EarlyStopping(**settings)  # type: ignore[arg-type]


def test_what_nothing_reaches_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing would ever reach it"):
        Reached(monitor="valid/loss", value=NAN)


@pytest.mark.parametrize(
    ("mode", "values", "expected"),
    [("max", [0.5, NAN, 0.89, 0.9, 1.0], 4), ("min", [1.0, NAN, 0.91, 0.9], 4), ("max", [0.1, 0.2], None)],
)
def test_a_value_that_is_reached_ends_training(mode: str, values: list[float], expected: int | None) -> None:
    rule = Reached(monitor="valid/loss", mode=mode, value=0.9)
    assert stopped_at(rule, values) == expected
    if expected:
        assert rule.evaluated({"valid/loss": 0.9}) == "valid/loss reached 0.9: 0.9"


def test_a_learning_rate_that_is_reached_ends_training() -> None:
    made = tiny.session(steps=40, schedule="exponential")
    rates: list[float] = []
    made.stopping.rules["floor"] = Reached(monitor="lr", mode="min", value=made.updates["model"].learning_rate / 2)
    whole = tiny.session(steps=40, schedule="exponential")
    made.train()
    whole.train()
    rates = [update.learning_rate for update in (made.updates["model"], whole.updates["model"])]
    assert made.state.step < whole.state.step
    assert rates[0] > rates[1]
    assert made.state.ended.startswith("lr reached")


def test_wall_time_is_that_of_all_sessions() -> None:
    now = [100.0]
    rule = WallTime(limit_s=60, clock=lambda: now[0])
    now[0] += 40
    assert rule.evaluated({}) == ""
    kept = rule.state_dict()
    now[0] += 1000
    again = WallTime(limit_s=60, clock=lambda: now[0])
    now[0] += 30  # until everything is built
    again.load_state_dict(kept)
    now[0] += 19
    assert again.evaluated({}) == ""
    now[0] += 1
    assert again.evaluated({}) == "60 s of training, of which 60 were allowed"


@pytest.mark.parametrize("limit_s", [0.0, -1.0, NAN])
def test_a_limit_must_be_positive(limit_s: float) -> None:
    with pytest.raises(ValueError, match="limit_s of WallTime must be positive, got"):
        WallTime(limit_s=limit_s)


def test_a_monitor_that_was_not_measured_is_named() -> None:
    with pytest.raises(ValueError, match=r"follows valid/f1, which was not measured; there are: \['valid/loss'\]"):
        EarlyStopping(monitor="valid/f1").evaluated({"valid/loss": 1.0})


def test_the_first_rule_that_wants_to_stop_is_heard_and_all_are_told() -> None:
    rules = Rules({name: EarlyStopping(patience_evaluations=patience) for name, patience in (("a", 1), ("b", 3))})
    assert rules.evaluated({"valid/loss": 1.0}) == ""
    assert rules.evaluated({"valid/loss": 1.0}).endswith("since 1 evaluations")
    assert rules.state_dict()["b"] == {"best": 1.0, "waited_evaluations": 1}
    assert Rules().evaluated({"valid/loss": 1.0}) == ""


def impatient(folder: Path | None, steps: int = 40) -> Session:
    """A training whose loss on the validation part soon stops falling by half at each evaluation."""
    made = tiny.session(folder=folder, steps=steps)
    made.stopping.rules["early"] = EarlyStopping(patience_evaluations=3, min_delta=0.5)
    if isinstance(made.checkpoints, FolderCheckpoints):
        made.checkpoints.restore()
    return made


def test_a_training_ends_there_and_its_checkpoint_says_why(tmp_path: Path) -> None:
    made = impatient(tmp_path)
    made.train()
    assert made.state.step == 20  # evaluated after 5, 10, 15 and 20 steps; the first is the best
    assert "since 3 evaluations" in made.state.ended
    again = impatient(tmp_path)
    assert (again.state.step, again.state.ended) == (20, made.state.ended)
    again.train()
    assert again.state.step == 20
    assert tiny.differing(made, again) == []


@pytest.mark.parametrize("stop", [3, 10, 12, 17])
def test_patience_goes_on_where_it_was(tmp_path: Path, stop: int) -> None:
    """With a patience that began anew the training would last longer."""
    whole, first = impatient(None), impatient(tmp_path)
    whole.train()
    first.plan = first.plan.until(stop)
    first.train()
    assert first.state.step == stop
    resumed = impatient(tmp_path)
    resumed.train()
    assert resumed.state.ended == whole.state.ended
    assert tiny.differing(whole, resumed) == []
