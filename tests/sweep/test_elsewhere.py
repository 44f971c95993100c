"""A library that runs nothing: what it says of the jobs is written down by each test."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from sweep import troubles
from sweep.conftest import Makes

from runner.sweep.elsewhere import Elsewhere, Gone
from runner.sweep.ending import Ending
from runner.sweep.errand import Errand, Silent
from runner.sweep.launching import Launch
from runner.sweep.process import Job

Word = Ending | Gone | None


class Paper:
    """Tickets are names; ``words`` has what is said of each, one a time it is asked."""

    def __init__(self, **words: list[Word]) -> None:
        self.words = words
        self.batches: list[list[str]] = []
        self.stopped: list[str] = []

    def submit(self, errands: Sequence[Errand]) -> Sequence[str]:
        names = [errand.job.name for errand in errands]
        self.batches.append(names)
        return names

    def ending(self, ticket: str) -> Ending | None:
        word = self.words[ticket.partition("__")[0]].pop(0)
        if isinstance(word, Gone):
            raise word
        return word

    def stop(self, tickets: Sequence[str]) -> None:
        self.stopped += tickets

    kill = stop


def errand(job: Job) -> Errand:
    return Errand.of(troubles.do, job)


def run(library: Paper, jobs: Sequence[Job], *, at_once: int = 9, fail_fast: bool = False) -> list[Ending]:
    return Launch(Elsewhere(library, errand, at_once=at_once), view=Silent(), fail_fast=fail_fast).run(jobs)


def write_status(folder: Path, **content: object) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "status.json").write_text(json.dumps(content))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.sweep.launching.LOOK_EVERY_S", 0.001)


@pytest.mark.slow
def test_as_many_at_once_as_there_is_room_for(jobs: Makes) -> None:
    done = Ending("completed", returned={})
    library = Paper(one=[None, done], two=[done], three=[done])
    endings = run(library, jobs("one", "two", "three"), at_once=2)
    assert [ending.state for ending in endings] == ["completed"] * 3
    assert library.batches == [["one__0", "two__1"], ["three__2"]]


@pytest.mark.slow
def test_all_go_in_one_batch_where_there_is_room(jobs: Makes) -> None:
    done = Ending("completed")
    library = Paper(one=[done], two=[done])
    run(library, jobs("one", "two"))
    assert library.batches == [["one__0", "two__1"]]


def test_a_job_that_is_gone_has_failed(jobs: Makes) -> None:
    (job,) = jobs("one")
    job.folder.mkdir()
    (ending,) = run(Paper(one=[Gone("Slurm says OUT_OF_MEMORY")]), [job])
    assert (ending.state, ending.cause) == ("failed", "Slurm says OUT_OF_MEMORY")
    assert json.loads((job.folder / "status.json").read_text())["reason"] == "Slurm says OUT_OF_MEMORY"


def test_a_job_that_is_gone_and_has_saved_can_go_on(jobs: Makes) -> None:
    (job,) = jobs("one")

    class Saves(Paper):
        def submit(self, errands: Sequence[Errand]) -> Sequence[str]:
            write_status(job.folder, state="interrupted", reason="interrupted by SIGTERM", step=7)
            return super().submit(errands)

        def ending(self, ticket: str) -> Ending | None:
            write_status(job.folder, state="interrupted", reason="interrupted by SIGTERM", step=9)
            return super().ending(ticket)

    (ending,) = run(Saves(one=[Gone("Slurm says CANCELLED")]), [job])
    assert (ending.state, ending.cause) == ("interrupted", "interrupted by SIGTERM; Slurm says CANCELLED")


def test_fail_fast_stops_the_rest_and_what_never_began_is_told_so(jobs: Makes) -> None:
    made = jobs("one", "two", "three")
    write_status(made[1].folder, state="running", step=0)

    class Begins(Paper):
        def ending(self, ticket: str) -> Ending | None:
            if ticket == "two__1":
                write_status(made[1].folder, state="running", step=5)
            return super().ending(ticket)

    library = Begins(one=[Ending("failed", cause="nan")], two=[None, Gone("")], three=[None, Gone("")])
    endings = run(library, made, fail_fast=True)
    assert [ending.state for ending in endings] == ["failed", "interrupted", "unstarted"]
    assert library.stopped == ["two__1", "three__2"]
    assert endings[2].cause == "not started: one__0 failed, and fail_fast is set"
    assert not made[2].folder.exists()


def test_an_errand_goes_anywhere(jobs: Makes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pickled, and run where the variables, folder and modules are others."""
    import os
    import pickle
    import sys

    (job,) = jobs("return_scores")
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    here = Path.cwd()
    packed = pickle.dumps(Errand.of(troubles.do, job, imports=("runner.cli.app",)))
    monkeypatch.delenv("MKL_CBWR")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    monkeypatch.setattr(sys, "path", sys.path[:1])
    monkeypatch.chdir(job.folder.parent)
    unpacked = pickle.loads(packed)
    unpacked._move_in()
    assert (os.environ.get("MKL_CBWR"), os.environ.get("OMP_NUM_THREADS")) == ("COMPATIBLE", None)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "2"  # as the library has shared them out
    assert Path.cwd() == here
    assert str(Path(troubles.__file__).parents[1]) in sys.path
    assert unpacked._job_again().manner == job.manner


def test_a_job_that_is_started_again_goes_on(jobs: Makes) -> None:
    (job,) = jobs("return_scores")
    write_status(job.folder, state="interrupted", step=3)
    (job.folder / "manifest.json").write_text('{"threads": 5}')
    manner = errand(job)._job_again().manner
    assert (manner.resume, manner.threads) == (True, 5)
