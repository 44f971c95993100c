"""Moving averages of the weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch
from torch import nn

from runner.averages import MovingAverages
from runner.session import Session

DECAY = 0.6


def averaged(folder: Path | None = None, *, steps: int = 20, decay: float | None = DECAY) -> Session:
    return tiny.session(folder=folder, steps=steps, ema_decay=decay, best={"loss": "min"})


def test_the_average_is_that_of_the_formula() -> None:
    layer = nn.Linear(1, 1, bias=False)
    averages = MovingAverages(layer, decay=DECAY)
    expected = 0.0
    for step, value in enumerate([1.0, 2.0, 4.0, 8.0, -8.0, 0.0, 3.0, 1.0, 0.5, 7.0, 1.0, 2.0], 1):
        layer.weight.data.fill_(value)
        averages.step(step)
        decay = min(DECAY, (step - 1) / (step + 9))
        expected = decay * expected + (1 - decay) * value
        with averages.in_place():
            assert layer.weight.item() == pytest.approx(expected)
        assert layer.weight.item() == value
    assert (step - 1) / (step + 9) < DECAY < (20 - 1) / (20 + 9)


def test_what_is_whole_is_left_alone_and_statistics_are_averaged() -> None:
    norm = nn.BatchNorm1d(2)
    assert set(MovingAverages(norm, decay=DECAY).averages) == {"weight", "bias", "running_mean", "running_var"}


def test_inside_it_may_be_entered_again_and_comes_back_after_an_error() -> None:
    layer = nn.Linear(1, 1, bias=False)
    averages = MovingAverages(layer, decay=DECAY)
    own = layer.weight.item()
    averages.averages["weight"].fill_(5.0)

    def inside() -> None:
        with averages.in_place(), averages.in_place():
            assert layer.weight.item() == 5.0
            raise RuntimeError("an evaluation fails")

    with pytest.raises(RuntimeError, match="an evaluation fails"):
        inside()
    assert layer.weight.item() == own


def test_training_is_the_same_and_evaluations_are_of_the_averages(tmp_path: Path) -> None:
    plain, made = averaged(decay=None), averaged(tmp_path)
    plain.train()
    made.train()
    for (name, one), other in zip(plain.task.named_parameters(), made.task.parameters(), strict=True):
        assert torch.equal(one, other), name
    assert isinstance(made.averages, MovingAverages)
    scores = made.evaluate("valid", made.state.step)
    assert scores != plain.evaluate("valid", plain.state.step)
    with made.averages.in_place():
        made.averages._placed = False  # as if there were none: the averages are the weights now
        for name, tensor in made.averages.weights.items():
            made.averages.averages[name].copy_(tensor)
        assert made.evaluate("valid", made.state.step) == scores


def test_the_best_that_are_kept_are_averages(tmp_path: Path) -> None:
    made = averaged(tmp_path, steps=5)  # one evaluation, at the end
    made.train()
    (best,) = tmp_path.rglob("best_*.pt")
    kept = torch.load(best, weights_only=True)["task"]
    assert isinstance(made.averages, MovingAverages)
    weights = dict(made.task.named_parameters())
    for name, average in made.averages.averages.items():
        assert torch.equal(kept[name], average), name
    assert any(not torch.equal(kept[name], weight) for name, weight in weights.items())


@pytest.mark.parametrize("stop", [1, 7, 15])
def test_interrupted_is_uninterrupted(tmp_path: Path, stop: int) -> None:
    whole, first = averaged(), averaged(tmp_path)
    whole.train()
    first.plan = first.plan.until(stop)
    first.train()
    resumed = averaged(tmp_path)
    assert resumed.state.step == stop
    resumed.train()
    assert isinstance(whole.averages, MovingAverages)
    assert isinstance(resumed.averages, MovingAverages)
    assert tiny.differing(whole, resumed) == []
    for name, average in whole.averages.averages.items():
        assert torch.equal(average, resumed.averages.averages[name]), name


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.5])
def test_a_decay_out_of_range(decay: float) -> None:
    with pytest.raises(ValueError, match=f"trainer.ema_decay must lie between 0 and 1, got {decay}"):
        MovingAverages(nn.Linear(1, 1), decay=decay)
