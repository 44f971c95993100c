"""As many digits as the uncertainty leaves."""

from __future__ import annotations

import math

import pytest

from runner.results.report.notation import Notation, duration
from runner.results.report.statistics import Estimate


@pytest.mark.parametrize(
    ("half", "text"),
    [(0.00213, "0.9734 ± 0.0021"), (0.3, "0.97 ± 0.30"), (12.0, "1 ± 12"), (1e-12, "0.973412 ± 1e-12")],
)
def test_decimals_follow_the_interval(half: float, text: str) -> None:
    found = Estimate(3, 0.973412, half)
    assert Notation.of([found]).estimate(found) == text


def test_a_column_has_one_number_of_decimals() -> None:
    column = [Estimate(3, 0.9, 0.05), Estimate(3, 0.8, 0.0012)]
    assert [Notation.of(column).estimate(found) for found in column] == ["0.9000 ± 0.0500", "0.8000 ± 0.0012"]


def test_rounding_is_no_interval() -> None:
    column = [Estimate(3, 0.9, 0.05), Estimate(3, 0.3, 5e-17)]
    assert [Notation.of(column).estimate(found) for found in column] == ["0.900 ± 0.050", "0.300 ± 5e-17"]


def test_what_has_no_interval() -> None:
    write = Notation.of([])
    assert write.estimate(Estimate(1, 0.123456, None)) == "0.1235 (n=1)"
    assert write.estimate(Estimate(3, math.nan, None)) == "nan"
    assert write.estimate(Estimate(0, math.nan, None)) == "–"
    assert write.estimate(Estimate(2, 0.5, 0.0)) == "0.5 ± 0"
    assert Notation(2)(12345678.9) == "1.235e+07"


def test_a_difference_has_a_sign() -> None:
    assert [Notation(2).difference(Estimate(2, mean, 0.1)) for mean in (0.5, -0.5)] == ["+0.50 ± 0.10", "-0.50 ± 0.10"]


def test_duration() -> None:
    assert [duration(seconds) for seconds in (None, 0, 83.4, 90000)] == ["–", "0:00:00", "0:01:23", "25:00:00"]
