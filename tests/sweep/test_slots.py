"""Which GPU and how many threads a job gets. There is no GPU here: names are all that is looked at."""

from __future__ import annotations

import os

import pytest

from runner.sweep import slots
from runner.sweep.slots import Limits, threads_each, visible_gpus


def gpus(limits: Limits, *visible: str) -> list[str | None]:
    assert list(limits.problems(visible)) == []
    return [slot.get("CUDA_VISIBLE_DEVICES") for slot in limits.slots(visible)]


@pytest.mark.parametrize(
    ("variable", "found"),
    [
        ("0,1", ["0", "1"]),
        ("3", ["3"]),
        (" 2 , GPU-8932f937 ", ["2", "GPU-8932f937"]),
        ("1,-1,0", ["1"]),
        ("", []),
        ("-1", []),
    ],
)
def test_what_cuda_would_see(variable: str, found: list[str]) -> None:
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": variable}) == found


def test_one_job_for_each_gpu_unless_told_otherwise() -> None:
    assert gpus(Limits(), "0", "1", "2") == ["0", "1", "2"]
    assert gpus(Limits(n_jobs=2), "0", "1", "2") == ["0", "1"]
    assert gpus(Limits(jobs_per_gpu=2), "0", "1") == ["0", "1", "0", "1"]
    assert gpus(Limits(n_jobs=3, jobs_per_gpu=2), "0", "1") == ["0", "1", "0"]


def test_a_job_of_several_processes_has_as_many_gpus() -> None:
    assert gpus(Limits(gpus_per_job=2), "0", "1", "4", "6", "7") == ["0,1", "4,6"]
    assert gpus(Limits(gpus_per_job=2, jobs_per_gpu=2, n_jobs=3), "0", "1", "2", "3") == ["0,1", "2,3", "0,1"]
    assert gpus(Limits(gpus_per_job=2)) == [None]
    (problem,) = Limits(gpus_per_job=3, gpus=[0, 1]).problems(["0", "1", "2"])
    assert problem.text == "a job starts 3 processes, and there is room on 2 GPUs"
    (problem,) = Limits(gpus_per_job=2, n_jobs=2).problems(["0", "1", "2"])
    assert problem.text == "there is room for 1 jobs on 3 GPUs"


def test_a_gpu_is_counted_among_the_visible_ones() -> None:
    assert gpus(Limits(gpus=[1]), "4", "GPU-7") == ["GPU-7"]
    assert gpus(Limits(gpus=[1, 0]), "4", "6") == ["6", "4"]


def test_where_there_is_no_choice_nothing_is_set() -> None:
    assert gpus(Limits()) == [None]
    assert gpus(Limits(n_jobs=3)) == [None] * 3
    assert gpus(Limits(jobs_per_gpu=2), "0") == [None, None]


def test_no_gpu_can_be_asked_for() -> None:
    assert gpus(Limits(n_jobs=2, gpus=[]), "0", "1") == ["", ""]


@pytest.mark.parametrize(
    ("limits", "line"),
    [
        (Limits(n_jobs=0), "n_jobs=0: must be a whole number of at least 1; set hydra.launcher.n_jobs=1"),
        (
            Limits(jobs_per_gpu=0),
            "jobs_per_gpu=0: must be a whole number of at least 1; set hydra.launcher.jobs_per_gpu=1",
        ),
        (Limits(gpus=[2]), "gpus=[2]: visible GPUs are 0 to 1; name some of these"),
        (Limits(gpus=[-1]), "gpus=[-1]: visible GPUs are 0 to 1; name some of these"),
        (Limits(n_jobs=5), "n_jobs=5: there is room for 2 jobs on 2 GPUs; set hydra.launcher.jobs_per_gpu=3"),
    ],
)
def test_what_does_not_fit_is_told(limits: Limits, line: str) -> None:
    assert [problem.line() for problem in limits.problems(["0", "1"])] == [line]


def test_threads_are_split_over_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "usable_cores", lambda: 12)
    assert [threads_each(jobs, {}) for jobs in (2, 5, 40)] == [6, 2, 1]
    assert threads_each(1, {}) is None
    assert threads_each(2, {"OMP_NUM_THREADS": "4"}) is None


def test_cores_are_those_that_this_process_may_use() -> None:
    assert slots.usable_cores() == len(os.sched_getaffinity(0))
