"""Jobs by joblib: its processes, or those of another backend such as Dask's, each supervise one job at a time."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from runner.sweep.elsewhere import Gone
from runner.sweep.ending import Ending
from runner.sweep.errand import Errand
from runner.sweep.pool import deaf
from runner.sweep.signals import Signals

STOP = ".stop"
"""A file beside the jobs, with a line for each time that the sweep was asked to stop: joblib has no other way to tell.
It is there from then until the jobs have ended."""


class ByJoblib:
    """``n_jobs`` and ``backend`` are joblib's own. One submission, whose jobs are begun as processes become free."""

    def __init__(self, n_jobs: int, backend: str, stop_file: Path) -> None:
        self._n_jobs = n_jobs
        self._backend = backend
        self._stop_file = stop_file.absolute()
        self._endings: dict[int, Ending] = {}
        self._broken = ""

    def submit(self, errands: Sequence[Errand]) -> Sequence[int]:
        if self._backend == "loky":
            from joblib.externals.loky.backend import resource_tracker

            resource_tracker.ensure_running()  # would unblock signals
        with deaf():  # what the thread starts inherits that: a terminal's Ctrl-C is for the sweep, which asks the jobs
            threading.Thread(target=self._run, args=(list(errands),), daemon=True).start()
        return range(len(errands))

    def ending(self, ticket: int) -> Ending | None:
        broken = self._broken  # before looking: it is the last that happens
        if ticket not in self._endings and broken:
            raise Gone(broken)
        return self._endings.get(ticket)

    def stop(self, tickets: Sequence[int]) -> None:  # noqa: ARG002 - all of them
        self._ask(1)

    def kill(self, tickets: Sequence[int]) -> None:  # noqa: ARG002
        self._ask(2)

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        self._stop_file.unlink(missing_ok=True)
        try:
            yield
        finally:
            self._stop_file.unlink(missing_ok=True)
            if self._backend == "loky":
                from joblib.externals.loky import get_reusable_executor

                get_reusable_executor().shutdown(wait=True)

    def _ask(self, times: int) -> None:
        self._stop_file.write_text("SIGINT\n" * times)

    def _run(self, errands: Sequence[Errand]) -> None:
        from joblib import Parallel, delayed

        supervised = delayed(supervise)
        calls = (supervised(number, errand, self._stop_file, os.getpid()) for number, errand in enumerate(errands))
        try:
            parallel = Parallel(
                n_jobs=self._n_jobs, backend=self._backend, batch_size=1, return_as="generator_unordered"
            )
            for number, ending in parallel(calls):
                self._endings[number] = ending
        except BaseException as error:  # which nobody would see in a thread
            self._broken = f"joblib gave up: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
        else:
            self._broken = "joblib has lost it"


def supervise(number: int, errand: Errand, stop_file: Path, sweep: int) -> tuple[int, Ending]:
    """In joblib's process. ``sweep`` is the number of the process that asked."""
    is_child = os.getppid() == sweep

    def asked() -> list[str]:
        if is_child and os.getppid() != sweep:
            return ["the end of the sweep"]
        with contextlib.suppress(FileNotFoundError):
            return stop_file.read_text().split()
        return []

    return number, errand.run(Signals(beside=asked))
