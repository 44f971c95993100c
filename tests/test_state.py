"""What a run knows of itself."""

from __future__ import annotations

import math

import pytest
import torch

from runner.state import LossMeans, NonFiniteLoss, State


def test_means_are_weighted_by_sample_and_start_anew() -> None:
    means = LossMeans()
    means.add({"train/loss": torch.tensor(1.0)}, samples=3)
    means.add({"train/loss": torch.tensor(5.0)}, samples=1)
    assert means.take() == {"train/loss": 2.0}
    assert means.take() == {}


def test_means_of_many_small_losses_lose_nothing() -> None:
    """float32 sums would stop growing."""
    means = LossMeans()
    means.add({"a": torch.tensor(2.0**24)}, samples=1)
    for _ in range(4):
        means.add({"a": torch.tensor(1.0)}, samples=1)
    assert means.take()["a"] == (2**24 + 4) / 5


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_loss_that_was_not_finite_shows_in_the_sum(value: float) -> None:
    means = LossMeans()
    for loss in (1.0, value, 2.0):
        means.add({"train/loss": torch.tensor(loss)}, samples=1)
    with pytest.raises(NonFiniteLoss, match="train/loss became"):
        means.take()


def test_a_state_that_saw_a_non_finite_loss_is_not_saved() -> None:
    state = State()
    state.means.add({"train/loss": torch.tensor(math.nan)}, samples=1)
    with pytest.raises(NonFiniteLoss):
        state.state_dict()


def test_the_best_follows_its_direction() -> None:
    state = State(directions={"valid/loss": "min", "valid/accuracy": "max"})
    assert state.judge({"valid/loss": 2.0, "valid/accuracy": 0.5}) == {"valid/loss": 2.0, "valid/accuracy": 0.5}
    assert state.judge({"valid/loss": 1.0, "valid/accuracy": 0.5}) == {"valid/loss": 1.0}
    assert state.judge({"valid/loss": 3.0, "valid/accuracy": 0.6}) == {"valid/accuracy": 0.6}
    assert state.best == {"valid/loss": 1.0, "valid/accuracy": 0.6}


@pytest.mark.parametrize(("direction", "ranking"), [("min", [4, 2, 6]), ("max", [1, 3, 5])])
def test_the_best_few_are_ranked_and_of_equal_ones_the_earlier_first(direction: str, ranking: list[int]) -> None:
    state = State(directions={"valid/x": direction}, keep_best=3)  # type: ignore[dict-item]
    entered = []
    for value in (3.0, 1.0, 3.0, 0.5, 2.0, 1.0, math.nan):
        state.step += 1
        entered += [state.step] * bool(state.judge({"valid/x": value}))
    assert state.ranked_steps() == {"valid/x": ranking}
    assert entered == ([1, 2, 3, 4, 5, 6] if direction == "min" else [1, 2, 3, 5])
    fewer = State(directions=state.directions)
    fewer.load_state_dict(state.state_dict())
    assert fewer.ranked_steps() == {"valid/x": ranking[:1]}


@pytest.mark.parametrize("direction", ["min", "max"])
def test_nan_never_improves_and_never_blocks(direction: str) -> None:
    state = State(directions={"valid/x": direction})  # type: ignore[dict-item]
    assert state.judge({"valid/x": math.nan}) == {}
    assert state.judge({"valid/x": 0.0}) == {"valid/x": 0.0}
    assert state.judge({"valid/x": math.nan}) == {}
    assert state.best == {"valid/x": 0.0}


def test_a_metric_that_was_not_measured_is_named() -> None:
    message = r"trainer\.best names 'valid/f1', which was not measured; there are: valid/loss"
    with pytest.raises(ValueError, match=message):
        State(directions={"valid/f1": "max"}).judge({"valid/loss": 1.0})


def test_a_state_goes_on_where_it_stood_and_forgets_why_it_stopped() -> None:
    ranked = {"valid/loss": [(3, 0.5), (5, 0.75)]}
    state = State(directions={"valid/loss": "min"}, keep_best=2, step=5, stop="interrupted by SIGINT", ranked=ranked)
    state.means.add({"train/loss": torch.tensor(0.1)}, samples=3)
    other = State(directions={"valid/loss": "min"}, keep_best=2)
    other.load_state_dict(state.state_dict())
    assert (other.step, other.stop, other.ranked, other.best) == (5, "", ranked, {"valid/loss": 0.5})
    for one in (state, other):
        one.means.add({"train/loss": torch.tensor(0.7)}, samples=2)
    assert state.means.take() == other.means.take()
