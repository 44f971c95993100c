"""Numbers that nobody shares."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runner.afterwards.shelf import numbered


def keep(shelf: Path, name: str) -> int:
    with numbered(shelf) as (number, made):
        (made / "name").write_text(name)
        made.rename(shelf / f"archived_v{number}_{name}")
    return number


def test_several_at_once_take_different_numbers(tmp_path: Path) -> None:
    """A claim is a folder made, which the system grants once; threads ask as processes do."""
    together = threading.Barrier(8)

    def several(name: str) -> list[int]:
        together.wait()
        return [keep(tmp_path, name) for _ in range(10)]

    with ThreadPoolExecutor(8) as pool:
        taken = [number for numbers in pool.map(several, "abcdefgh") for number in numbers]
    assert sorted(taken) == list(range(1, 81))
    assert len(list(tmp_path.iterdir())) == 80


def test_a_number_follows_the_largest(tmp_path: Path) -> None:
    (tmp_path / "archived_v9_2026-01-01__lenet__0").mkdir()
    (tmp_path / "something").mkdir()
    assert keep(tmp_path, "x") == 10


def test_what_goes_wrong_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), numbered(tmp_path):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    assert keep(tmp_path, "x") == 1


def test_a_number_that_another_holds_is_passed_over(tmp_path: Path) -> None:
    with numbered(tmp_path) as (number, made):
        assert (number, keep(tmp_path, "quicker")) == (1, 2)
        made.rename(tmp_path / "archived_v1_slow")
    assert keep(tmp_path, "next") == 3
