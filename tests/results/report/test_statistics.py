"""Means and intervals are those of scipy.stats."""

from __future__ import annotations

import math
import random

import pytest
from scipy import stats

from runner.results.report.statistics import Estimate, estimate


@pytest.mark.parametrize("n", [2, 3, 5, 30])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e6])
def test_the_interval_is_scipys(n: int, scale: float) -> None:
    values = [scale * (0.9 + random.Random(seed).gauss(0, 0.1)) for seed in range(n)]
    found = estimate(values)
    low, high = stats.t.interval(0.95, n - 1, loc=stats.tmean(values), scale=stats.sem(values))
    assert found.n == n
    assert [found.mean, found.low, found.high] == pytest.approx([stats.tmean(values), low, high], rel=1e-12)


def test_the_interval_of_differences_is_that_of_a_paired_test() -> None:
    a = [random.Random(seed).gauss(0.90, 0.02) for seed in range(7)]
    b = [random.Random(seed).gauss(0.88, 0.03) for seed in range(7)]
    found = estimate([x - y for x, y in zip(a, b, strict=True)])
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert [found.low, found.high] == pytest.approx([expected.low, expected.high], rel=1e-12)


def test_a_mean_far_from_zero_keeps_its_digits() -> None:
    assert estimate([1e9 + 1, 1e9 + 2, 1e9 + 3]).half == pytest.approx(estimate([1, 2, 3]).half, rel=1e-9)


def test_one_value_has_no_interval_and_equal_values_have_an_empty_one() -> None:
    assert estimate([0.5]) == Estimate(1, 0.5, None)
    assert (estimate([0.5]).low, estimate([0.5]).high) == (None, None)
    assert estimate([0.5, 0.5]) == Estimate(2, 0.5, 0.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_not_averaged_away(bad: float) -> None:
    found = estimate([0.5, bad, 0.7])
    assert (found.n, found.half) == (3, None)
    assert math.isnan(found.mean)


def test_no_values() -> None:
    assert (estimate([]).n, estimate([]).half) == (0, None)
