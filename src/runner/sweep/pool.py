"""Jobs side by side on one machine, each in a process of its own. Free of torch: the fork server imports it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import connection, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Any

from runner.interrupt import STOPS
from runner.sweep.ending import Ending, cause_of_death
from runner.sweep.process import Job, Progress, Task, work
from runner.sweep.slots import Slot
from runner.sweep.view import View

LINGER_S = 30.0  # from a job's last word to the end of its process
DYING_S = 0.5

COSTLY = ("torchvision", "torchmetrics", "sklearn.datasets", "timm", "safetensors")
"""Imports that not every sweep needs."""


def needed_imports() -> list[str]:
    """What is COSTLY and was needed here: checking the jobs takes what running them takes."""
    return [name for name in COSTLY if name in sys.modules]


def start_fork_server(*modules: str) -> None:
    """Start the process that jobs are forked from, unless it runs; it imports torch, and ``modules``."""
    from multiprocessing import forkserver

    multiprocessing.set_forkserver_preload([*modules, "runner.sweep.preloaded"])
    with deaf():
        forkserver.ensure_running()


@contextlib.contextmanager
def deaf(signals: Sequence[signal.Signals] = STOPS) -> Iterator[None]:
    """Signals wait, here and in a fork server that is started inside, which they would kill: all processes of a sweep
    may get them at once. Jobs inherit that, and begin to listen when they can heed.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    resource_tracker.ensure_running()  # unblocks them
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def fork(process: ForkServerProcess) -> None:
    """Start a process. Should the fork server have died, there is a new one, once its end is known."""
    with deaf():
        try:
            process.start()
        except (EOFError, ConnectionError):
            time.sleep(DYING_S)
            process.start()


@dataclass(eq=False)
class Forked:
    """A job with its process, and what has been heard of it."""

    job: Job
    slot: Slot
    process: ForkServerProcess
    channel: Connection
    free: list[Slot]  # to which the slot returns
    said: Ending | None = None
    heard_s: float = field(default_factory=time.monotonic)
    killed: bool = False

    def has_begun(self) -> bool:
        return True

    def look(self, view: View, stopped: str) -> Ending | None:
        has_ended = self.process.exitcode is not None  # before listening: its last word is in the channel by then
        self._listen(view)
        if has_ended:
            return self._end(stopped)
        if self.said is not None and time.monotonic() - self.heard_s > LINGER_S:
            kill_group(self.process)
        return None

    def kill(self) -> None:
        """It and all that it has started."""
        self.killed = True
        kill_group(self.process)

    def _listen(self, view: View) -> None:
        """Take in what it has said."""
        with contextlib.suppress(EOFError, ConnectionResetError):
            while not self.channel.closed and self.channel.poll():
                message = self._received()
                self.heard_s = time.monotonic()
                if isinstance(message, Progress):
                    view.progressed(self.job.name, message)
                else:
                    self.said = message

    def _received(self) -> Any:
        try:
            return self.channel.recv()
        except (EOFError, ConnectionResetError):
            self.channel.close()
            raise

    def _end(self, stopped: str) -> Ending:
        ending = self.said or self._told_by_its_death(stopped)
        if self.said is None:
            kill_group(self.process)  # what it has started, and could not end
        self.free.append(self.slot)
        self.channel.close()
        self.process.join()
        self.process.close()
        return ending

    def _told_by_its_death(self, stopped: str) -> Ending:
        status = self.process.exitcode
        assert status is not None, "the process has ended"
        if stopped and (self.killed or status == -signal.SIGTERM):
            return Ending("interrupted", cause=f"{stopped}{' and killed' if self.killed else ''}")
        return Ending("failed", cause=cause_of_death(status))


def kill_group(process: ForkServerProcess) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        assert process.pid is not None, "the process was started"
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        process.kill()  # one that had no time to lead a group


class Pool:
    """A place for as many jobs as there are slots. The fork server has to be started before."""

    def __init__(self, task: Task, slots: Sequence[Slot]) -> None:
        self._task = task
        self._free = list(slots)

    def room(self) -> int:
        return len(self._free)

    def start(self, jobs: Sequence[Job]) -> Iterable[Forked]:
        for job in jobs:
            yield self._started(job, self._free.pop(0))

    def _started(self, job: Job, slot: Slot) -> Forked:
        job.folder.mkdir(parents=True, exist_ok=True)
        ours, theirs = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.get_context("forkserver").Process(
            target=work, args=(self._task, job, {**os.environ, **slot}, theirs), name=job.name, daemon=False
        )
        fork(process)
        theirs.close()
        return Forked(job, slot, process, ours, self._free)

    def wait(self, running: Sequence[Forked], limit_s: float) -> None:
        channels = [one.channel for one in running if not one.channel.closed]
        connection.wait([*channels, *(one.process.sentinel for one in running)], timeout=limit_s)

    def stop(self, running: Sequence[Forked]) -> None:
        for one in running:
            one.process.terminate()

    def kill(self, running: Sequence[Forked]) -> None:
        for one in running:
            one.kill()

    def leave(self, running: Sequence[Forked], patience_s: float) -> None:
        until_s = time.monotonic() + patience_s
        for one in running:
            one.process.join(max(0.0, until_s - time.monotonic()))
        for one in running:
            kill_group(one.process)
