"""What a benchmark makes of the times that it takes."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROUNDS = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "rounds.py"))
Contender, Goal, compared, table = (ROUNDS[name] for name in ("Contender", "Goal", "compared", "table"))


def taking(*seconds: float) -> Callable[[], float]:
    """The times of a contender, round by round."""
    left: Iterator[float] = iter(seconds)
    return lambda: next(left)


def comparison(goal: Any, *, warmup: int = 0) -> Any:
    ours, theirs = Contender("ours", taking(2.0, 1.0, 3.0)), Contender("theirs", taking(4.0, 4.0, 4.0), goal)
    (found,) = compared("work", ours, [theirs], rounds=3 - warmup, warmup=warmup, seed=0)
    return found


def test_ratios_are_taken_within_rounds_and_speed_ups_are_the_other_way_round() -> None:
    assert comparison(Goal("<=", 0.5)).ratios == [0.5, 0.25, 0.75]
    assert comparison(None).ratios == [0.5, 0.25, 0.75]
    assert comparison(Goal(">=", 2)).ratios == [2.0, 4.0, 4 / 3]


def test_rounds_that_warm_up_do_not_count() -> None:
    assert comparison(None, warmup=1).ratios == [0.25, 0.75]


def test_a_row_says_median_span_count_and_whether_the_goal_is_reached() -> None:
    row = ["work", "theirs", "2 s", "4 s", "0.5", "0.25–0.75", "3"]
    assert comparison(Goal("<=", 0.5)).cells() == [*row, "≤ 0.5", "reached"]
    assert comparison(Goal("<=", 0.45)).cells() == [*row, "≤ 0.45", "MISSED"]
    assert comparison(None).cells() == [*row, "", ""]
    assert comparison(Goal(">=", 2.5)).cells()[-2:] == ["≥ 2.5", "MISSED"]


@pytest.mark.parametrize(
    ("seconds", "shown"), [(12.34, "12.3 s"), (0.0457, "45.7 ms"), (3.3e-5, "33 µs"), (2e-8, "20 ns")]
)
def test_durations_have_their_unit(seconds: float, shown: str) -> None:
    assert ROUNDS["duration"](seconds) == shown


def test_the_order_changes_from_round_to_round_and_is_that_of_the_seed() -> None:
    def order(seed: int) -> list[str]:
        seen: list[str] = []

        def contender(name: str) -> Any:
            def seconds() -> float:
                seen.append(name)
                return 1.0

            return Contender(name, seconds)

        compared("work", contender("a"), [contender("b"), contender("c")], rounds=6, warmup=0, seed=seed)
        return seen

    first = order(1)
    rounds = [first[start : start + 3] for start in range(0, 18, 3)]
    assert all(sorted(names) == ["a", "b", "c"] for names in rounds)
    assert len({tuple(names) for names in rounds}) > 1
    assert order(1) == first
    assert order(2) != first


def test_an_anchor_without_its_package_is_left_out_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    absent = Contender("absent", taking(), None, needs="no_such_package")
    there = Contender("there", taking(1.0), None, needs="json")
    found = compared("work", Contender("ours", taking(1.0)), [absent, there], rounds=1, warmup=0, seed=0)
    assert [comparison.anchor.name for comparison in found] == ["there"]
    assert "left out: absent: no_such_package is not installed" in capsys.readouterr().out


def test_tables() -> None:
    plain = table([comparison(None)], markdown=False).splitlines()
    assert plain[1].split()[:3] == ["work", "theirs", "2"]
    marked = table([comparison(None)], markdown=True).splitlines()
    assert marked[1] == f"| {' | '.join(['---'] * 9)} |"
    assert marked[2].startswith("| work | theirs | 2 s | 4 s | 0.5 | 0.25–0.75 | 3 |")
