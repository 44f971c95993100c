"""From the losses of a range test to a rate."""

from __future__ import annotations

import contextlib
import csv
import math
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.finding.curve import Curve, NotFound, Ramp

LOSSES: dict[str, Callable[[float], float]] = {
    "a valley": lambda lr: 2.3 - 1.5 * lr / (lr + 0.01) + 50 * max(0.0, lr - 0.1),
    "it rises": lambda lr: 2.3 + 40 * lr,
    "a straight line": lambda lr: 2.3 - 0.1 * math.log10(lr / 1e-7),
}


def curve_of(loss: Callable[[float], float], *, noise: float = 0.01, seed: int = 0, ramp: Ramp | None = None) -> Curve:
    ramp, draws = ramp or Ramp(), random.Random(seed)
    curve = Curve(ramp)
    for step in range(ramp.steps):
        if curve.add(loss(ramp.rate(step)) + draws.gauss(0, noise)):
            break
    return curve


def test_rates_are_evenly_apart_in_their_logarithm() -> None:
    ramp = Ramp(1e-4, 1.0, 41)
    assert (ramp.rate(0), ramp.rate(20), ramp.rate(40)) == pytest.approx((1e-4, 1e-2, 1.0))
    for wrong in ({"from_lr": 0.0}, {"from_lr": 20.0}, {"to_lr": math.inf}, {"to_lr": math.nan}, {"steps": 19}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Ramp(**wrong)


def test_the_average_is_not_drawn_to_zero() -> None:
    assert curve_of(lambda _: 2.0, noise=0.0).smoothed == pytest.approx([2.0] * 100)
    first, second = curve_of(lambda lr: lr, noise=0.0, ramp=Ramp(1.0, 2.0, 20)).smoothed[:2]
    assert second == pytest.approx((0.9 * first + Ramp(1.0, 2.0, 20).rate(1)) / 1.9)


@pytest.mark.parametrize("shift", [0.0, -10.0], ids=["positive", "negative"])
def test_a_tenth_of_the_lowest_is_suggested_and_what_diverges_ends_the_test(shift: float) -> None:
    curve = curve_of(lambda lr: LOSSES["a valley"](lr) + shift)
    assert "times its lowest" in curve.ended
    assert len(curve.losses) < 100
    assert curve.rates[curve.lowest] == pytest.approx(0.11, rel=0.3)
    assert curve.suggestion() == pytest.approx(curve.rates[curve.lowest] / 10, rel=0.01)


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_no_fall(seed: int) -> None:
    with pytest.raises(NotFound, match="never clearly falls"):
        curve_of(lambda _: 2.3, noise=0.1, seed=seed).suggestion()


@pytest.mark.parametrize("ramp", [Ramp(1e-4, 1e-2, 20), Ramp(1e-5, 1e-1, 50), Ramp()], ids=["20", "50", "100"])
def test_noise_alone_suggests_a_rate_in_one_test_of_a_hundred_at_most(ramp: Ramp) -> None:
    found = 0
    for seed in range(300):
        with contextlib.suppress(NotFound):
            curve_of(lambda _: 2.3, noise=0.1, seed=seed, ramp=ramp).suggestion()
            found += 1
    assert found <= 3


def test_the_steps_are_enough_for_what_the_average_lags_by() -> None:
    with pytest.raises(ValueError, match=r"steps=50: must be at least 80, with rates over 8 powers of ten"):
        Ramp(steps=50)
    Ramp(1e-5, 1.0, 50)


@pytest.mark.parametrize("loss", [2.3, -4.0])
def test_a_loss_that_stands_still_does_not_fall(loss: float) -> None:
    with pytest.raises(NotFound, match="never clearly falls"):
        curve_of(lambda lr: loss - 1e-9 * lr, noise=0.0).suggestion()


def test_a_fall_as_large_as_the_noise_is_one() -> None:
    assert curve_of(lambda lr: LOSSES["a valley"](lr), noise=0.3).suggestion() == pytest.approx(0.01, rel=0.5)


def test_a_loss_that_only_rises_suggests_nothing() -> None:
    with pytest.raises(NotFound, match="never clearly falls"):
        curve_of(LOSSES["it rises"]).suggestion()


def test_a_loss_that_still_falls_at_the_end_suggests_a_tenth_of_the_end() -> None:
    assert curve_of(LOSSES["a straight line"]).suggestion() == pytest.approx(1.0, rel=0.3)


def test_a_lowest_loss_too_near_to_the_first_rate_suggests_nothing() -> None:
    with pytest.raises(NotFound, match="too near to the first rate"):
        curve_of(LOSSES["a valley"], ramp=Ramp(from_lr=0.03)).suggestion()


def test_a_loss_that_is_not_finite_ends_the_test() -> None:
    early, late = Curve(Ramp()), curve_of(LOSSES["a straight line"])
    assert early.add(math.nan) == "the loss became nan"
    with pytest.raises(NotFound, match=r"became nan after 0 steps, at lr=1e-07"):
        early.suggestion()
    kept = list(late.losses)
    assert late.add(math.inf) == late.ended == "the loss became inf"
    assert late.losses == kept


def test_the_table_has_every_step(tmp_path: Path) -> None:
    curve = curve_of(LOSSES["a valley"])
    curve.write_csv(tmp_path / "find_lr.csv")
    with (tmp_path / "find_lr.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == list(range(1, len(curve.losses) + 1))
    for name, values in (("lr", curve.rates), ("loss", curve.losses), ("smoothed_loss", curve.smoothed)):
        assert [float(row[name]) for row in rows] == values
