"""Jobs by submitit: on a Slurm cluster, or in processes here that are treated as Slurm treats them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runner.sweep.elsewhere import Gone
from runner.sweep.ending import Ending
from runner.sweep.errand import Errand
from runner.sweep.pool import deaf
from runner.sweep.process import GRACE_S
from runner.sweep.signals import Signals

if TYPE_CHECKING:
    from submitit import Job as Ticket
    from submitit import LocalExecutor, SlurmExecutor
    from submitit.core.utils import DelayedSubmission

POLL_S = 0.1
LATE_S = 15.0  # a result may show so much later than the end of its process, on a network's disk
ASK_EVERY_S = 5.0  # Slurm's accounting, when jobs were asked to end
REQUEUED_S = 30.0  # from SIGTERM until Slurm says more, or ends the job: its KillWait


class Supervisor:
    """What submitit runs, and asks for a checkpoint when the job has to leave its machine."""

    def __init__(self, errand: Errand, *, on_slurm: bool) -> None:
        self._errand = errand
        self._on_slurm = on_slurm
        self._signals: Signals | None = None
        self._ended: list[Ending | BaseException] = []

    def __call__(self) -> Ending:
        self._signals = signals = Signals()
        with signals.noted():
            threading.Thread(target=self._run, args=(signals,), daemon=True).start()
            while not self._ended:  # without a lock: a signal's handler waits for the same
                time.sleep(POLL_S)
        (ended,) = self._ended
        if isinstance(ended, BaseException):
            raise ended
        if self._on_slurm and signals.names[:1] == ["SIGTERM"]:
            # By scancel, or the first sign of a preemption: the signal to requeue may follow, or Slurm does it.
            time.sleep(REQUEUED_S)
            sys.exit("stopped by SIGTERM")  # without a result: what becomes of the job is Slurm's to say
        return ended

    def checkpoint(self) -> DelayedSubmission:
        """Called by a signal, in the midst of waiting: the job saves and ends. Submitted again it goes on."""
        from submitit.core.utils import DelayedSubmission

        if self._signals is not None:
            self._signals.add("the cluster")
            until_s = time.monotonic() + GRACE_S
            while not self._ended and time.monotonic() < until_s:
                time.sleep(POLL_S)
        return DelayedSubmission(Supervisor(self._errand, on_slurm=self._on_slurm))

    def _run(self, signals: Signals) -> None:
        try:
            self._ended.append(self._errand.run(signals))
        except BaseException as error:  # which nobody would see in a thread
            self._ended.append(error)


def result_of(ticket: Ticket[Ending]) -> Ending:
    """What the supervisor returned; its last words as ``Gone`` when it broke."""
    from submitit.core.utils import UncompletedJobError

    try:
        return ticket.result()
    except UncompletedJobError as error:
        lines = [line for line in str(error).splitlines() if line.partition(":")[0].endswith(("Error", "Exit"))]
        told = lines[-1].partition(": ")[2] if lines else "its supervisor broke"
        raise Gone(f"submitit: {told}; see {ticket.paths.stderr}") from error


class ByLocalSubmitit:
    """One supervisor a job, all of them at once."""

    def __init__(self, executor: LocalExecutor) -> None:
        self._executor = executor

    def submit(self, errands: Sequence[Errand]) -> Sequence[Ticket[Ending]]:
        with deaf([signal.SIGINT]):  # inherited: a terminal's Ctrl-C is for the sweep, which asks the jobs
            return [self._executor.submit(Supervisor(errand, on_slurm=False)) for errand in errands]

    def ending(self, ticket: Ticket[Ending]) -> Ending | None:
        if not ticket.done():
            return None
        if not ticket.paths.result_pickle.exists():
            raise Gone(f"its supervisor ended without a result; see {ticket.paths.stderr}")
        return result_of(ticket)

    def stop(self, tickets: Sequence[Ticket[Ending]]) -> None:
        for ticket in tickets:
            with contextlib.suppress(ProcessLookupError):
                if not ticket.done():
                    os.kill(int(ticket.job_id), signal.SIGTERM)  # which it hands on; by SIGINT it ends at once

    kill = stop  # the second time


class BySlurm:
    """One job of an array for each. What Slurm says of them is asked seldom, and often when they are to end."""

    def __init__(self, executor: SlurmExecutor) -> None:
        self._executor = executor
        self._done_s: dict[str, float] = {}  # since when a job has ended, as Slurm says
        self._ask_s: float | None = None  # when to ask next; None leaves it to submitit

    def submit(self, errands: Sequence[Errand]) -> Sequence[Ticket[Ending]]:
        with self._executor.batch():
            return [self._executor.submit(Supervisor(errand, on_slurm=True)) for errand in errands]

    def ending(self, ticket: Ticket[Ending]) -> Ending | None:
        if not ticket.done(force_check=self._is_time()):
            return None
        if ticket.paths.result_pickle.exists():
            return result_of(ticket)
        since_s = self._done_s.setdefault(ticket.job_id, time.monotonic())
        if time.monotonic() - since_s < LATE_S:
            return None
        state = ticket.watcher.get_state(ticket.job_id, mode="cache")
        raise Gone(f"Slurm says {state}; see {ticket.paths.stderr}")

    def stop(self, tickets: Sequence[Ticket[Ending]]) -> None:
        self._ask_s = time.monotonic()
        names = [ticket.job_id for ticket in tickets]
        subprocess.run(["scancel", "--state=PENDING", *names], check=True)
        subprocess.run(["scancel", "--state=RUNNING", "--signal=INT", *names], check=True)

    def kill(self, tickets: Sequence[Ticket[Ending]]) -> None:
        subprocess.run(["scancel", *(ticket.job_id for ticket in tickets)], check=True)

    def _is_time(self) -> bool:
        if self._ask_s is None or time.monotonic() < self._ask_s:
            return False
        self._ask_s = time.monotonic() + ASK_EVERY_S
        return True


def logs_of(folder: Path) -> Path:
    """submitit's own files for the jobs of one launch. Numbers of jobs may come again, in another one."""
    return folder / ".submitit" / time.strftime("%Y-%m-%d_%H-%M-%S")
