"""Jobs side by side on one machine, each in a process of its own. Free of torch: the fork server imports it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import connection, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from types import FrameType
from typing import Any

from runner.problem import Interrupted
from runner.sweep.ending import Ending, cause_of_death, counted, settle, status_of
from runner.sweep.process import STOPS, Job, Progress, Task, work
from runner.sweep.slots import Slot
from runner.sweep.view import View

LOOK_EVERY_S = 0.25  # at signals, and at the live table
LINGER_S = 30.0  # from a job's last word to the end of its process
GIVE_UP_S = 60.0  # from asking jobs to stop until they are made to, when the sweep itself breaks
PATIENCE = 3  # signals
DYING_S = 0.5

COSTLY = ("torchvision", "torchmetrics", "sklearn.datasets", "timm", "safetensors")
"""Imports that not every sweep needs."""


def start_fork_server(*modules: str) -> None:
    """Start the process that jobs are forked from, unless it runs; it imports torch, ``modules``, and what is COSTLY
    and was needed here: checking the jobs takes what running them takes.
    """
    from multiprocessing import forkserver

    needed = [name for name in COSTLY if name in sys.modules]
    multiprocessing.set_forkserver_preload([*modules, *needed, "runner.sweep.preloaded"])
    with deaf():
        forkserver.ensure_running()


@contextlib.contextmanager
def deaf() -> Iterator[None]:
    """Signals wait, here and in a fork server that is started inside, which they would kill: all processes of a sweep
    may get them at once. Jobs inherit that, and begin to listen when they can heed.
    """
    resource_tracker.ensure_running()  # would unblock signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
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
class Running:
    """A job with its process, and what has been heard of it."""

    number: int
    job: Job
    slot: Slot
    process: ForkServerProcess
    channel: Connection
    status_before: dict[str, Any]  # of its folder
    ending: Ending | None = None
    heard_s: float = field(default_factory=time.monotonic)
    killed: bool = False

    def listen(self, view: View) -> None:
        """Take in what it has said."""
        with contextlib.suppress(EOFError, ConnectionResetError):
            while not self.channel.closed and self.channel.poll():
                message = self._received()
                self.heard_s = time.monotonic()
                if isinstance(message, Progress):
                    view.progressed(self.job.name, message)
                else:
                    self.ending = message

    def _received(self) -> Any:
        try:
            return self.channel.recv()
        except (EOFError, ConnectionResetError):
            self.channel.close()
            raise

    def ask_to_stop(self) -> None:
        self.process.terminate()

    def kill(self) -> None:
        """It and all that it has started."""
        self.killed = True
        kill_group(self.process)

    def conclusion(self, stopped: str) -> Ending:
        """How it ended, once its process has. ``stopped`` is why jobs were asked to stop, if they were."""
        if self.ending is not None:
            return self.ending
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
    """Starts each job as soon as a slot is free, and waits for all of them."""

    def __init__(
        self,
        task: Task,
        slots: Sequence[Slot],
        *,
        view: View,
        fail_fast: bool = False,
        on_end: Callable[[str], None] | None = None,
    ) -> None:
        """``on_end`` is called here with the name of each job that has ended. With ``fail_fast`` the first failure
        stops all."""
        self._task = task
        self._free = list(slots)
        self._view = view
        self._fail_fast = fail_fast
        self._on_end = on_end
        self._waiting: deque[tuple[int, Job]] = deque()
        self._running: list[Running] = []
        self._endings: dict[int, Ending] = {}
        self._stopped = ""  # why no job is started any more
        self._signals: list[str] = []  # that came in
        self._heeded = 0  # of them

    def run(self, jobs: Sequence[Job]) -> list[Ending]:
        """How the jobs ended, in their order. No process is left when this returns or raises.

        Raises ``Interrupted`` after a Ctrl-C or SIGTERM: running jobs have saved and stopped then, waiting ones were
        not started. A second one kills them.
        """
        self._waiting.extend(enumerate(jobs))
        with self._noting_signals(), contextlib.ExitStack() as stack:
            stack.callback(self._view.close)
            stack.callback(self._abandon)
            while self._running or (self._waiting and not self._stopped):
                while self._waiting and self._free and not self._stopped:
                    self._start(*self._waiting.popleft())
                self._look()
                self._heed()
                self._view.refresh()
        left = [Ending("unstarted", cause=f"not started: {self._stopped}")] * len(self._waiting)
        endings = [*(self._endings[number] for number in sorted(self._endings)), *left]
        if self._signals:
            raise Interrupted(f"{self._stopped}: {counted(endings)}")
        return endings

    def _start(self, number: int, job: Job) -> None:
        job.folder.mkdir(parents=True, exist_ok=True)
        ours, theirs = multiprocessing.Pipe(duplex=False)
        slot = self._free.pop(0)
        process = multiprocessing.get_context("forkserver").Process(
            target=work, args=(self._task, job, {**os.environ, **slot}, theirs), name=job.name, daemon=False
        )
        before = status_of(job.folder)
        fork(process)
        theirs.close()
        self._running.append(Running(number, job, slot, process, ours, before))
        self._view.started(job.name)

    def _look(self) -> None:
        """Wait a moment for news, and take it in."""
        channels = [one.channel for one in self._running if not one.channel.closed]
        connection.wait([*channels, *(one.process.sentinel for one in self._running)], timeout=LOOK_EVERY_S)
        for one in list(self._running):
            ended = one.process.exitcode is not None  # before listening: its last word is in the channel by then
            one.listen(self._view)
            if ended:
                self._end(one)
            elif one.ending is not None and time.monotonic() - one.heard_s > LINGER_S:
                kill_group(one.process)

    def _end(self, one: Running) -> None:
        ending = one.conclusion(self._stopped)
        if one.ending is None:
            kill_group(one.process)  # what it has started, and could not end
        self._running.remove(one)
        self._free.append(one.slot)
        one.channel.close()
        one.process.join()
        one.process.close()
        settle(one.job.folder, ending, before=one.status_before)
        self._endings[one.number] = ending
        self._view.ended(one.job.name, ending)
        if ending.state == "failed" and self._fail_fast and not self._stopped:
            self._stop(f"{one.job.name} failed, and fail_fast is set")
        if self._on_end is not None:
            self._on_end(one.job.name)

    def _stop(self, why: str) -> None:
        self._stopped = self._stopped or why
        if self._running:
            many = "1 job saves and stops" if len(self._running) == 1 else f"{len(self._running)} jobs save and stop"
            self._view.note(f"{why}: {many}; Ctrl-C {'again ' * bool(self._signals)}kills")
        for one in self._running:
            one.ask_to_stop()

    @contextlib.contextmanager
    def _noting_signals(self) -> Iterator[None]:
        """Inside, SIGINT and SIGTERM are noted; after PATIENCE of them nothing is waited for."""

        def note(number: int, _frame: FrameType | None) -> None:
            self._signals.append(signal.Signals(number).name)
            if len(self._signals) > PATIENCE:
                raise KeyboardInterrupt

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, note) for number in STOPS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _heed(self) -> None:
        """The first signal asks jobs to stop, unless they have been asked; the next one does not wait for them."""
        for name in self._signals[self._heeded :]:
            self._heeded += 1
            if self._stopped:
                self._kill()
            else:
                self._stop(f"interrupted by {name}")

    def _kill(self) -> None:
        if self._running:
            names = ", ".join(one.job.name for one in self._running)
            self._view.note(f"killing {names}")
        for one in self._running:
            one.kill()

    def _abandon(self) -> None:
        """When something of the sweep's own breaks: jobs save and stop, within a minute if the user is patient."""
        for one in self._running:
            one.ask_to_stop()
        until_s = time.monotonic() + (0 if len(self._signals) > PATIENCE else GIVE_UP_S)
        for one in self._running:
            one.process.join(max(0.0, until_s - time.monotonic()))
        for one in self._running:
            kill_group(one.process)
