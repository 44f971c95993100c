"""What a sweep still has to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweep.test_ledger import FROZEN, LINKED, left

from runner.sweep.conduct import Outcome, planned


@pytest.mark.parametrize(
    ("state", "retry_failed", "action"),
    [
        ("completed", False, "skip"),
        ("completed", True, "skip"),
        ("failed", False, "skip"),
        ("failed", True, "resume"),
        ("interrupted", False, "resume"),
        ("running", False, "resume"),  # killed: nothing holds its lock
        ("", False, "resume"),  # killed before it could say anything
    ],
)
def test_what_is_done_about_a_job_of_the_same_configuration(
    tmp_path: Path, state: str, retry_failed: bool, action: str
) -> None:
    left(tmp_path / "mlp__0", state)
    (job,) = planned([FROZEN], tmp_path, retry_failed=retry_failed)
    assert job.action == action


def test_a_job_that_is_not_there_is_started(tmp_path: Path) -> None:
    assert [job.action for job in planned([FROZEN, LINKED], tmp_path, retry_failed=False)] == ["start", "start"]


@pytest.mark.parametrize("state", ["completed", "failed", "interrupted"])
def test_another_configuration_is_never_skipped_nor_gone_on_with(tmp_path: Path, state: str) -> None:
    left(tmp_path / "mlp__0", state, digest="another")
    (job,) = planned([FROZEN], tmp_path, retry_failed=True)
    assert job.action == "start"  # the check of its folder refuses that


def test_the_account_names_what_did_not_complete(tmp_path: Path) -> None:
    left(tmp_path / "mlp__0", "completed")
    (tmp_path / "mlp__1").mkdir()
    jobs = planned([FROZEN, LINKED], tmp_path, retry_failed=False)
    left(tmp_path / "mlp__1", "failed", digest="cd")
    (tmp_path / "mlp__1" / "runner.log").write_text("")
    outcome = Outcome.of(tmp_path, jobs)
    assert list(outcome.lines()) == [
        "1 of 2 runs completed, 1 of them before",
        f"  FAILED mlp__1: no memory; see {tmp_path / 'mlp__1/runner.log'}",
    ]
    assert not outcome.completed
    again = planned([FROZEN, LINKED], tmp_path, retry_failed=False)
    assert list(Outcome.of(tmp_path, again).lines())[1].endswith("not tried again: retry_failed=true does")
