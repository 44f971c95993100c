"""The table of all that is wrong with a sweep."""

from __future__ import annotations

import io

import pytest

from runner.cli.problems import PLAIN_WIDTH, heading, print_problems
from runner.problem import Found, Problem, Refused

LONG = "word " * 60 + "/a/very/long/path" * 12
JOBS = [f"mlp__{seed}" for seed in range(100)]
REFUSED = Refused(
    ["as lines"],
    found=[
        Found(Problem("model", "mlp", LONG, "set model=<option>"), [JOBS[3]]),
        Found(Problem("trainer.device", None, "is [bold]not[/bold] there", ""), JOBS),
        Found(Problem("optimizer.lr", [1, 2], "must be positive", "set it"), JOBS[5:9]),
    ],
    jobs=JOBS,
)


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(stream: io.StringIO) -> str:
    print_problems(REFUSED, stream)
    return stream.getvalue()


def test_a_row_for_each_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "2000")
    _, header, _, *lines = printed(io.StringIO()).splitlines()
    assert header.split("   ")[0].strip() == "jobs"
    told = [" ".join(line.split()) for line in lines[::2]]
    assert told == [
        f"mlp__3 model mlp {LONG} set model=<option>",
        "all (100) trainer.device is [bold]not[/bold] there",
        "mlp__5 … mlp__8 (4) optimizer.lr [1, 2] must be positive set it",
    ]
    assert heading(REFUSED) == "100 of 100 jobs cannot run as they are, so none was started"


@pytest.mark.parametrize("columns", [None, 80, 60])
def test_nothing_is_cut_however_narrow_it_is(monkeypatch: pytest.MonkeyPatch, columns: int | None) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", str(columns))
    text = printed(io.StringIO())
    assert max(map(len, text.splitlines())) <= (columns or PLAIN_WIDTH)
    assert text.count("word") == 60 or columns == 60
    assert text.count("/") >= LONG.count("/")
    letters = "".join(text.split())
    assert all(letters.count(letter) >= LONG.count(letter) for letter in set(LONG.replace(" ", "")))


def test_only_a_terminal_gets_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[" in printed(Screen())
    assert "\x1b[" not in printed(io.StringIO())
