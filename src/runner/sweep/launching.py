"""The jobs of a sweep, started as soon as there is room, waited for, and stopped when asked. Free of torch."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from runner.problem import Interrupted
from runner.sweep.ending import Ending, counted, settle, status_of
from runner.sweep.process import Job
from runner.sweep.signals import Signals
from runner.sweep.view import View

LOOK_EVERY_S = 0.25  # at signals, and at the live table
GIVE_UP_S = 60.0  # from asking jobs to stop until they are made to, when the sweep itself breaks


class Running(Protocol):
    """A job that was started somewhere."""

    @property
    def job(self) -> Job: ...

    def has_begun(self) -> bool:
        """Whether it does something by now, and waits in no queue."""

    def look(self, view: View, stopped: str) -> Ending | None:
        """How it ended, once it has. ``stopped`` is why it was asked to stop, if it was."""


R = TypeVar("R", bound=Running)


class Place(Protocol[R]):
    """Where jobs run."""

    def room(self) -> int:
        """How many jobs it takes now."""

    def start(self, jobs: Sequence[Job]) -> Iterable[R]:
        """Start jobs, for which there is room; each is yielded as soon as it has to be looked after."""

    def wait(self, running: Sequence[R], limit_s: float) -> None:
        """Until there may be news of a job, but no longer than ``limit_s``."""

    def stop(self, running: Sequence[R]) -> None:
        """Ask jobs to save and stop."""

    def kill(self, running: Sequence[R]) -> None:
        """End jobs, and what they have started."""

    def leave(self, running: Sequence[R], patience_s: float) -> None:
        """Let go of jobs that were asked to stop: those that have not ended by then are killed."""


@dataclass(eq=False)
class Started(Generic[R]):
    """A job of the sweep that was started."""

    number: int
    one: R
    status_before: dict[str, Any]  # of its folder
    shown: bool = False


class Launch(Generic[R]):
    """Starts each job as soon as its place has room, and waits for all of them."""

    def __init__(
        self,
        place: Place[R],
        *,
        view: View,
        fail_fast: bool = False,
        on_end: Callable[[str], None] | None = None,
        signals: Signals | None = None,
    ) -> None:
        """``on_end`` is called here with the name of each job that has ended. With ``fail_fast`` the first failure
        stops all."""
        self._place = place
        self._view = view
        self._fail_fast = fail_fast
        self._on_end = on_end
        self._signals = signals or Signals()
        self._waiting: deque[tuple[int, Job]] = deque()
        self._running: list[Started[R]] = []
        self._endings: dict[int, Ending] = {}
        self._untold: deque[str] = deque()  # names of jobs that have ended
        self._stopped = ""  # why no job is started any more

    def run(self, jobs: Sequence[Job]) -> list[Ending]:
        """How the jobs ended, in their order. No process is left when this returns or raises.

        Raises ``Interrupted`` after a Ctrl-C or SIGTERM: running jobs have saved and stopped then, waiting ones were
        not started. A second one kills them.
        """
        endings = self.ended(jobs)
        if self._signals.came:
            raise Interrupted(f"{self._stopped}: {counted(endings)}")
        return endings

    def ended(self, jobs: Sequence[Job]) -> list[Ending]:
        """As ``run``, also when it was asked to stop."""
        self._waiting.extend(enumerate(jobs))
        with self._signals.noted(), contextlib.ExitStack() as stack:
            stack.callback(self._view.close)
            stack.callback(self._abandon)
            while self._running or self._untold or (self._waiting and not self._stopped):
                self._heed()
                self._fill()
                if self._untold:  # the next jobs run by now
                    self._tell(self._untold.popleft())
                if self._running:
                    self._look(0.0 if self._untold else LOOK_EVERY_S)
                self._view.refresh()
            self._heed()
        left = Ending("unstarted", cause=f"not started: {self._stopped}")
        return [self._endings.get(number, left) for number in range(len(jobs))]

    def _fill(self) -> None:
        if self._stopped or not self._waiting:
            return
        taken = [self._waiting.popleft() for _ in range(min(self._place.room(), len(self._waiting)))]
        before = [status_of(job.folder) for _, job in taken]
        if taken:
            started = self._place.start([job for _, job in taken])
            for (number, _), status, one in zip(taken, before, started, strict=True):
                self._running.append(Started(number, one, status))
                self._show(self._running[-1])

    def _show(self, started: Started[R]) -> None:
        if not started.shown and started.one.has_begun():
            self._view.started(started.one.job.name)
            started.shown = True

    def _look(self, limit_s: float) -> None:
        """Wait a moment for news, and take it in."""
        self._place.wait([started.one for started in self._running], limit_s)
        for started in list(self._running):
            self._show(started)
            ending = started.one.look(self._view, self._stopped)
            if ending is not None:
                self._end(started, ending)

    def _end(self, started: Started[R], ending: Ending) -> None:
        job = started.one.job
        self._running.remove(started)
        if ending.state == "unstarted":
            ending = dataclasses.replace(ending, cause=f"not started: {self._stopped}")
            self._endings[started.number] = ending
            return
        settle(job.folder, ending, before=started.status_before)
        self._endings[started.number] = ending
        if not started.shown:
            self._view.started(job.name)
        self._view.ended(job.name, ending)
        self._untold.append(job.name)
        if ending.state == "failed" and self._fail_fast and not self._stopped:
            self._stop(f"{job.name} failed, and fail_fast is set")

    def _tell(self, name: str) -> None:
        if self._on_end is not None:
            self._on_end(name)

    def _stop(self, why: str) -> None:
        self._stopped = self._stopped or why
        if self._running:
            many = "1 job saves and stops" if len(self._running) == 1 else f"{len(self._running)} jobs save and stop"
            self._view.note(f"{why}: {many}; Ctrl-C {'again ' * self._signals.came}kills")
            self._place.stop([started.one for started in self._running])

    def _heed(self) -> None:
        """The first signal asks jobs to stop, unless they have been asked; the next one does not wait for them."""
        for name in self._signals.unheeded():
            if self._stopped:
                self._kill()
            else:
                self._stop(f"interrupted by {name}")

    def _kill(self) -> None:
        if self._running:
            names = ", ".join(started.one.job.name for started in self._running)
            self._view.note(f"killing {names}")
            self._place.kill([started.one for started in self._running])

    def _abandon(self) -> None:
        """When something of the sweep's own breaks: jobs save and stop, within a minute if the user is patient."""
        left = [started.one for started in self._running]
        if left:
            self._place.stop(left)
            self._place.leave(left, 0 if self._signals.impatient else GIVE_UP_S)
