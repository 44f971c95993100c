"""Real processes, ended in every way there is."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from sweep import troubles
from sweep.conftest import Makes

from runner.manner import Manner
from runner.problem import Interrupted
from runner.sweep.ending import Ending
from runner.sweep.launching import Launch
from runner.sweep.pool import Pool, start_fork_server
from runner.sweep.process import Job, Progress

pytestmark = pytest.mark.slow


class Notebook:
    """A view that writes down what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def started(self, name: str) -> None:
        self.lines.append(f"started {name}")

    def progressed(self, name: str, progress: Progress) -> None:
        self.lines.append(f"{name} at step {progress.step}")

    def ended(self, name: str, ending: Ending) -> None:
        self.lines.append(f"{ending.state} {name}")

    def note(self, text: str) -> None:
        self.lines.append(text)

    def refresh(self) -> None: ...

    def close(self) -> None:
        self.lines.append("closed")


def run(jobs: Sequence[Job], *, slots: int = 1, **settings: Any) -> list[Ending]:
    start_fork_server()
    pool = Pool(troubles.do, settings.pop("environments", [{}] * slots))
    return Launch(pool, view=settings.pop("view", Notebook()), **settings).run(jobs)


def told(job: Job) -> str:
    return (job.folder / "console.log").read_text()


def status(job: Job) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((job.folder / "status.json").read_text())
    return content


def when(condition: Callable[[], bool], act: Callable[[], None], limit_s: float = 60) -> threading.Thread:
    """Do something as soon as something is so, beside what goes on here."""

    def wait() -> None:
        until_s = time.monotonic() + limit_s
        while not condition() and time.monotonic() < until_s:
            time.sleep(0.02)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def alive(session: int) -> list[str]:
    """The processes of a session, as the kernel knows them; zombies have ended."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(entry.name)
    return found


def test_jobs_return_in_their_order_however_long_they_take(jobs: Makes) -> None:
    endings = run(jobs(*["return_late"] * 4), slots=4)
    assert [ending.returned for ending in endings] == [{"test/loss": float(seed)} for seed in range(4)]


CAUSES = {
    "raise_error": "ValueError: the lookup table has no entry for 17",
    "raise_failed": "train/loss became nan at step 2",
    "raise_nothing_said": "AssertionError",
    "call_exit": "called sys.exit(3)",
    "leave": "ended without a result, exit status 7",
    "read_nowhere": "killed by SIGSEGV (segmentation fault); stack in console.log",
    "be_killed": "killed by SIGKILL: perhaps the system ran out of memory",
    "return_what_cannot_be_sent": "returned function, which cannot be sent to the sweep: Can't pickle",
}


def test_a_job_that_ends_badly_says_why_and_stops_no_other(jobs: Makes) -> None:
    made = jobs("return_scores", *CAUSES, "close_everything", "return_scores")
    endings = run(made, slots=2)
    states = [ending.state for ending in endings]
    assert states == ["completed", *["failed"] * len(CAUSES), "failed", "completed"]
    for job, ending, cause in zip(made[1:], endings[1:], CAUSES.values(), strict=False):
        assert ending.cause.startswith(cause)
        assert status(job) == {**status(job), "state": "failed", "reason": ending.cause, "step": 0}
    assert endings[-2].cause == "ended without a result, exit status 1"  # its last word found nobody
    logs = {job.config.do: told(job) for job in made}
    assert all(f"doing {word}" in log for word, log in logs.items())
    assert "Traceback" in logs["raise_error"]
    assert "no entry for 17" in logs["raise_error"]
    assert "read_nowhere" in logs["read_nowhere"].partition("Segmentation fault")[2]
    assert "so far so good" in logs["be_killed"]
    assert "Traceback" not in logs["return_scores"]


def test_what_a_killed_job_had_started_ends_with_it(jobs: Makes) -> None:
    (job,) = jobs("be_killed")
    run([job])
    session = int((job.folder / "session").read_text())
    until_s = time.monotonic() + 10
    while alive(session) and time.monotonic() < until_s:
        time.sleep(0.05)
    assert alive(session) == []


def test_a_job_has_its_own_session_environment_and_output(
    jobs: Makes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is set here after the fork server has started counts, too."""
    start_fork_server()
    monkeypatch.setenv("POOL_TEST_MARK", "here")
    monkeypatch.chdir(tmp_path)
    made = jobs("tell_surroundings", "tell_surroundings", manner=Manner(resume=True, threads=3))
    first, second = (ending.returned for ending in run(made))
    assert first["session"] == first["process"] != second["process"]
    assert {first["session"], second["session"]} & {os.getsid(0)} == set()
    assert (first["mark"], first["variable"], second["variable"]) == ("here", "by job 0", "by job 1")
    assert (first["threads"], first["resume"], first["cuda"]) == (3, True, False)
    assert (first["folder"], first["output"]) == (str(tmp_path), str(made[0].folder))
    assert first["starts"] == multiprocessing.get_start_method()
    assert "POOL_TEST_SET" not in os.environ


def test_a_free_slot_takes_the_next_job_at_once(jobs: Makes) -> None:
    """Three jobs of 0.4 s and their slots: two on one GPU, one on the other, and never more than one a slot."""
    slots = [{"CUDA_VISIBLE_DEVICES": "5"}, {"CUDA_VISIBLE_DEVICES": "GPU-7"}]
    held = [ending.returned for ending in run(jobs(*["share_gpu"] * 5), environments=slots)]
    for gpu in ("5", "GPU-7"):
        spans = sorted((began, ended) for name, began, ended in held if name == gpu)
        assert len(spans) >= 2
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
    assert {name for name, _, _ in held} == {"5", "GPU-7"}


def test_fail_fast_stops_what_runs_and_starts_nothing(jobs: Makes) -> None:
    made = jobs("wait", "raise_error", "return_scores")
    endings = run(made, slots=2, fail_fast=True)
    assert [ending.state for ending in endings] == ["interrupted", "failed", "unstarted"]
    assert (status(made[0])["state"], status(made[0])["reason"]) == ("interrupted", "interrupted by SIGTERM")
    assert endings[2].cause == "not started: raise_error__1 failed, and fail_fast is set"
    assert not made[2].folder.exists()


def test_a_job_that_was_asked_alone_stops_alone(jobs: Makes) -> None:
    endings = run(jobs("press_ctrl_c", "return_scores"))
    assert [(ending.state, ending.cause) for ending in endings] == [
        ("interrupted", "interrupted by SIGINT"),
        ("completed", ""),
    ]


def test_a_folder_of_somebody_elses_is_left_alone(jobs: Makes) -> None:
    (job,) = jobs("raise_refused")
    (ending,) = run([job])
    assert (ending.state, ending.cause) == ("failed", "the folder is in use")
    assert not (job.folder / "status.json").exists()


def test_the_step_of_a_job_that_died_is_kept(jobs: Makes) -> None:
    (job,) = jobs("be_killed")
    job.folder.mkdir()
    (job.folder / "status.json").write_text('{"state": "failed", "reason": "before", "step": 40}')
    run([job])
    assert (status(job)["step"], status(job)["reason"]) == (40, CAUSES["be_killed"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_jobs_and_then_the_sweep(jobs: Makes, number: signal.Signals) -> None:
    made, view = jobs("wait", "wait", "return_scores"), Notebook()
    before = signal.getsignal(signal.SIGINT)
    all_wait = lambda: all((job.folder / "waiting").exists() for job in made[:2])  # noqa: E731
    thread = when(all_wait, lambda: os.kill(os.getpid(), number))
    with pytest.raises(Interrupted, match="0 of 3 jobs completed, 2 interrupted, 1 unstarted"):
        run(made, slots=2, view=view)
    thread.join()
    assert f"interrupted by {number.name}: 2 jobs save and stop; Ctrl-C again kills" in view.lines
    assert view.lines[-1] == "closed"
    assert [status(job)["state"] for job in made[:2]] == ["interrupted"] * 2
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_signal_kills(jobs: Makes) -> None:
    (job,) = made = jobs("wait_deaf")
    view = Notebook()
    press = lambda: os.kill(os.getpid(), signal.SIGINT)  # noqa: E731
    threads = [
        when((job.folder / "waiting").exists, press),
        when(lambda: any("save" in line for line in view.lines), press),
    ]
    with pytest.raises(Interrupted):
        run(made, view=view)
    for thread in threads:
        thread.join()
    assert "killing wait_deaf__0" in view.lines
    assert status(job)["reason"] == "interrupted by SIGINT and killed"


def test_a_sweep_that_breaks_itself_leaves_no_job_behind(jobs: Makes) -> None:
    def full_disk(name: str) -> None:
        raise OSError(f"no space for the report on {name}")

    made = jobs("wait", "return_scores")
    with pytest.raises(OSError, match="no space for the report on return_scores__1"):
        run(made, slots=2, on_end=full_disk)
    assert "interrupted by SIGTERM" in told(made[0])


def test_the_fork_server_is_deaf_and_its_jobs_are_not(jobs: Makes) -> None:
    """A whole process group may get the signal: the server goes on, so that the jobs' endings are known."""
    from multiprocessing import forkserver

    (job,) = jobs("wait")
    run(jobs("return_scores"))
    server = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]

    def terminate_all() -> None:
        os.kill(server, signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = when((job.folder / "waiting").exists, terminate_all)
    with pytest.raises(Interrupted, match="1 interrupted"):
        run([job])
    thread.join()
    assert status(job)["state"] == "interrupted"
    os.kill(server, 0)


def test_a_fork_server_that_dies_is_started_again(jobs: Makes) -> None:
    from multiprocessing import forkserver

    first, second = jobs("tell_surroundings", "tell_surroundings")
    run([first])
    os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)  # type: ignore[attr-defined]
    (ending,) = run([second])
    assert ending.state == "completed"
