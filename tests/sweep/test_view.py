"""What is seen of a sweep."""

from __future__ import annotations

import io
import re

import pytest

from runner.sweep.ending import Ending
from runner.sweep.process import Progress
from runner.sweep.view import LiveTable, PlainLines, View, view_of

HALF = Progress(75, 150, 1.5, 3, "valid/accuracy", 0.91234, 83.0)


class Screen(io.StringIO):
    """Says that it is a terminal."""

    def isatty(self) -> bool:
        return True

    def text(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.getvalue())


def tell(told: View) -> None:
    for name in ("mlp__0", "mlp__1", "mlp__2", "mlp__3"):
        told.started(name)
    told.progressed("mlp__0", HALF)
    told.ended("mlp__1", Ending("completed", returned={"test/loss": 0.25, "test/accuracy": 0.5}))
    told.ended("mlp__2", Ending("failed", cause="killed by SIGKILL: [perhaps] no memory"))


def test_a_file_gets_lines() -> None:
    stream = io.StringIO()
    told = view_of(9, stream)
    assert isinstance(told, PlainLines)
    tell(told)
    told.note("interrupted")
    assert stream.getvalue().splitlines() == [
        "[1/9] mlp__0 started",
        "[2/9] mlp__1 started",
        "[3/9] mlp__2 started",
        "[4/9] mlp__3 started",
        "mlp__1 completed after 0:00:00: test/loss 0.25  test/accuracy 0.5 (1 of 9 completed, 3 running, 5 waiting)",
        "mlp__2 FAILED after 0:00:00: killed by SIGKILL: [perhaps] no memory "
        "(1 of 9 completed, 1 failed, 2 running, 5 waiting)",
        "interrupted",
    ]


def test_a_terminal_gets_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    screen = Screen()
    told = view_of(9, screen)
    assert isinstance(told, LiveTable)
    tell(told)
    told.refresh()
    lines = [" ".join(line.split()) for line in screen.text().replace("\r", "\n").splitlines()]
    for line in (
        "job state epoch metric time",
        "mlp__0 training 1.5/3 valid/accuracy 0.9123 0:01:23 left",
        "mlp__3 starting",
        "mlp__1 completed took 0:00:00",
        "1 of 9 completed, 1 failed, 2 running, 5 waiting",
        "mlp__2 FAILED after 0:00:00: killed by SIGKILL: [perhaps] no memory",
    ):
        assert line in lines
    told.close()


def test_a_table_is_drawn_four_times_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    now = 0.0
    screen = Screen()
    told = LiveTable(1, screen, clock=lambda: now)
    drawn = []
    for now in (0.0, 0.1, 0.2, 0.26, 0.3, 0.6):  # noqa: B007 - read above
        before = len(screen.getvalue())
        told.refresh()
        drawn.append(len(screen.getvalue()) > before)
    told.close()
    assert drawn == [True, False, False, True, False, True]


def test_a_long_sweep_shows_what_runs_and_what_ended_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen()
    told = LiveTable(100, screen)
    for number in range(60):
        told.started(f"mlp__{number}")
        if number < 58:
            told.ended(f"mlp__{number}", Ending("completed"))
    told.refresh()
    shown = re.findall(r"mlp__(\d+)", screen.text())
    assert shown == ["53", "54", "55", "56", "57", "58", "59"]
    assert "58 of 100 completed, 2 running, 40 waiting" in screen.text()
    told.close()
