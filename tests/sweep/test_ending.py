"""What is said for a job that cannot say it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runner.sweep.ending import Ending, cause_of_death, counted, settle, status_of

RUNNING = {"state": "running", "reason": "", "step": 40}
FAILED = Ending("failed", cause="killed")


def settled(folder: Path, before: dict[str, Any], now: dict[str, Any], ending: Ending) -> dict[str, Any]:
    if now:
        (folder / "status.json").write_text(json.dumps(now))
    settle(folder, ending, before=before)
    return status_of(folder)


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (7, "ended without a result, exit status 7"),
        (0, "ended without a result, exit status 0"),
        (-9, "killed by SIGKILL: perhaps the system ran out of memory"),
        (-11, "killed by SIGSEGV (segmentation fault); stack in console.log"),
        (-6, "killed by SIGABRT (aborted); stack in console.log"),
        (-15, "killed by SIGTERM (terminated)"),
    ],
)
def test_causes_of_death(status: int, cause: str) -> None:
    assert cause_of_death(status) == cause


def test_a_job_that_died_is_not_left_running(tmp_path: Path) -> None:
    status = settled(tmp_path, {}, RUNNING, FAILED)
    assert (status["state"], status["reason"], status["step"]) == ("failed", "killed", 40)


def test_a_job_that_died_before_its_first_word_has_a_status(tmp_path: Path) -> None:
    status = settled(tmp_path, {}, {}, FAILED)
    assert (status["state"], status["reason"], status["step"]) == ("failed", "killed", 0)


def test_what_the_job_said_itself_counts(tmp_path: Path) -> None:
    said = {"state": "failed", "reason": "a better one", "step": 40}
    assert settled(tmp_path, RUNNING, said, FAILED) == said


def test_what_was_said_before_does_not_count(tmp_path: Path) -> None:
    said = {"state": "failed", "reason": "another time", "step": 40}
    assert settled(tmp_path, said, said, FAILED)["reason"] == "killed"


def test_a_damaged_status_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "status.json").write_text("{")
    settle(tmp_path, FAILED, before={})
    assert status_of(tmp_path)["state"] == "failed"


@pytest.mark.parametrize("ending", [Ending("completed"), Ending("failed", refused=True)])
def test_a_run_that_goes_on_or_is_done_is_left_alone(tmp_path: Path, ending: Ending) -> None:
    assert settled(tmp_path, {}, RUNNING, ending) == RUNNING


def test_counting() -> None:
    endings = [Ending("completed"), Ending("unstarted"), Ending("failed"), Ending("completed")]
    assert counted(endings) == "2 of 4 jobs completed, 1 failed, 1 unstarted"
