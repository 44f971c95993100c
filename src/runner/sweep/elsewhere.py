"""Jobs that another library runs: in its processes, on its machines, when its queue comes to them. Free of torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from runner.sweep.ending import Ending, status_of
from runner.sweep.errand import Errand
from runner.sweep.process import Job
from runner.sweep.view import View

BEGUN_EVERY_S = 2.0  # look into the folder of a job that may wait in a queue


class Gone(RuntimeError):
    """A job's process, or its place in the queue, is no more, and it has left no word."""


T = TypeVar("T")


class Library(Protocol[T]):
    """What runs errands, and what it gives for each."""

    def submit(self, errands: Sequence[Errand]) -> Sequence[T]: ...

    def ending(self, ticket: T) -> Ending | None:
        """How it ended, once it has. Raises ``Gone`` when it cannot say any more."""

    def stop(self, tickets: Sequence[T]) -> None:
        """Those that run save and stop, the others never begin."""

    def kill(self, tickets: Sequence[T]) -> None: ...


@dataclass(eq=False)
class Submitted(Generic[T]):
    """A job that a library has."""

    job: Job
    ticket: T
    library: Library[T]
    status_before: dict[str, Any]
    begun: bool = False
    ended: bool = False
    looked_s: float = -BEGUN_EVERY_S

    def has_begun(self) -> bool:
        """As its folder tells: what is known everywhere."""
        if not self.begun and time.monotonic() - self.looked_s >= BEGUN_EVERY_S:
            self.looked_s = time.monotonic()
            self.begun = status_of(self.job.folder) != self.status_before
        return self.begun

    def look(self, view: View, stopped: str) -> Ending | None:  # noqa: ARG002 - nothing is told on the way
        ending = self._ending(stopped)
        self.ended = ending is not None
        return ending

    def _ending(self, stopped: str) -> Ending | None:
        try:
            return self.library.ending(self.ticket)
        except Gone as error:
            status = status_of(self.job.folder)
            begun = status != self.status_before
            if begun and status.get("state") == "interrupted":  # it saved, and can go on
                return Ending("interrupted", cause=f"{status.get('reason')}; {error}")
            if not stopped:
                return Ending("failed", cause=str(error))
            return Ending("interrupted" if begun else "unstarted", cause=stopped)


class Elsewhere(Generic[T]):
    """A place that takes ``at_once`` jobs: what the library queues, and what runs."""

    def __init__(self, library: Library[T], errand_of: Callable[[Job], Errand], *, at_once: int) -> None:
        self._library = library
        self._errand_of = errand_of
        self._at_once = at_once
        self._submitted: list[Submitted[T]] = []

    def room(self) -> int:
        self._submitted = [one for one in self._submitted if not one.ended]
        return self._at_once - len(self._submitted)

    def start(self, jobs: Sequence[Job]) -> Iterable[Submitted[T]]:
        before = [status_of(job.folder) for job in jobs]
        tickets = self._library.submit([self._errand_of(job) for job in jobs])
        started = [
            Submitted(job, ticket, self._library, status)
            for job, ticket, status in zip(jobs, tickets, before, strict=True)
        ]
        self._submitted += started
        return started

    def wait(self, running: Sequence[Submitted[T]], limit_s: float) -> None:  # noqa: ARG002
        time.sleep(limit_s)

    def stop(self, running: Sequence[Submitted[T]]) -> None:
        self._library.stop([one.ticket for one in running])

    def kill(self, running: Sequence[Submitted[T]]) -> None:
        self._library.kill([one.ticket for one in running])

    def leave(self, running: Sequence[Submitted[T]], patience_s: float) -> None:
        until_s = time.monotonic() + patience_s
        while (left := [one for one in running if self._runs(one)]) and time.monotonic() < until_s:
            time.sleep(0.1)
        if left:
            self.kill(left)

    def _runs(self, one: Submitted[T]) -> bool:
        try:
            return self._library.ending(one.ticket) is None
        except Gone:
            return False
