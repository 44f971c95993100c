"""Errors for the reader, and true exit statuses."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from runner.cli.errors import reported
from runner.problem import Interrupted, Problem, Refused


def raising(error: BaseException) -> Callable[[], int]:
    def work() -> int:
        raise error

    return work


def saying(words: str) -> int:
    print(words)
    return 0


@pytest.mark.parametrize(
    ("error", "status", "messages"),
    [
        (Refused(["a=1: wrong", "b=2: wrong"]), 2, ["a=1: wrong", "b=2: wrong"]),
        (Interrupted("interrupted by SIGINT"), 130, ["interrupted by SIGINT"]),
        (KeyboardInterrupt(), 130, ["interrupted"]),
        (OSError("no space left"), 1, ["OSError: no space left"]),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("traceback", [False, True])
def test_statuses(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    status: int,
    messages: list[str],
    traceback: bool,
) -> None:
    monkeypatch.setenv("RUNNER_TRACEBACK", "1" if traceback else "")
    assert reported(raising(error)) == status
    said = capsys.readouterr().err
    assert ("Traceback" in said) == traceback
    assert all(message in said for message in messages)


def test_a_reader_that_has_seen_enough_is_no_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of ``inspect RUN | head``: at once, or when what is left is flushed at the end."""
    for printed in ("x", "x" * 100_000):
        read, write = os.pipe()
        os.close(read)
        with os.fdopen(write, "w") as nobody, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", nobody)
            assert reported(partial(saying, printed)) == 141
        assert capsys.readouterr().err == ""


def test_another_pipe_that_breaks_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert reported(raising(BrokenPipeError("of a worker"))) == 1
    assert "of a worker" in capsys.readouterr().err


def test_what_completes_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert reported(lambda: 0) == 0
    assert reported(lambda: 1) == 1
    assert capsys.readouterr() == ("", "")


def test_an_error_before_any_run_does_not_send_the_reader_to_a_log(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RUNNER_TRACEBACK", raising=False)
    reported(raising(AttributeError("a mistake of ours")))
    said = capsys.readouterr().err
    assert "runner.log" not in said
    assert "RUNNER_TRACEBACK=1" in said


@pytest.mark.parametrize(
    ("problem", "line"),
    [
        (Problem("a.b", 0, "must be positive", "set a.b=1"), "a.b=0: must be positive; set a.b=1"),
        (Problem("a.b", None, "is missing", ""), "a.b: is missing"),
        (Problem("a.b", "", "is empty", ""), "a.b=: is empty"),
        (Problem("a.b", False, "must be true", ""), "a.b=False: must be true"),
    ],
)
def test_a_problem_names_key_value_and_remedy(problem: Problem, line: str) -> None:
    assert problem.line() == line


def test_the_command_that_is_shown_last_can_be_pasted() -> None:
    from runner.cli.app import farewell

    assert farewell(Path("my runs/a"), {}, curves=True).splitlines() == [
        "results: my runs/a",
        "to see the curves: tensorboard --logdir 'my runs/a'",
    ]
