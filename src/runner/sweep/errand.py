"""What a library carries to the process that it runs a job by, here or on another machine. Free of torch.

That process is only a supervisor: it starts the job as the pool does, so that a job may crash, be stopped and be
told about in the same way wherever it runs.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runner import lock
from runner.results.manifest import read_json
from runner.results.provenance import switches
from runner.sweep.ending import Ending
from runner.sweep.launching import Launch
from runner.sweep.ledger import state_of
from runner.sweep.pool import Pool, needed_imports, start_fork_server
from runner.sweep.process import GRACE_S, Job, Progress, Task
from runner.sweep.signals import Signals
from runner.sweep.slots import VISIBLE


class Silent:
    """A view for where nobody looks."""

    def started(self, name: str) -> None: ...

    def progressed(self, name: str, progress: Progress) -> None: ...

    def ended(self, name: str, ending: Ending) -> None: ...

    def note(self, text: str) -> None: ...

    def refresh(self) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Errand:
    """A job, and what the process that runs it needs to know of this one."""

    task: Task
    job: Job
    imports: tuple[str, ...]  # of the fork server
    folder: str  # the current one: relative paths mean the same
    path: tuple[str, ...]  # where modules are looked for
    switches: Mapping[str, str] | None  # environment variables that change arithmetic; None leaves them as they are

    @classmethod
    def of(cls, task: Task, job: Job, *, imports: tuple[str, ...] = (), switches_too: bool = True) -> Errand:
        """``switches_too``: where a library sets some of its own, or starts its processes from elsewhere."""
        path = tuple(os.path.abspath(entry) for entry in sys.path)  # noqa: PTH100 - "" is the current folder
        own = switches(os.environ) if switches_too else None
        return cls(task, job, (*imports, *needed_imports()), str(Path.cwd()), path, own)

    def run(self, signals: Signals | None = None) -> Ending:
        """Run the job in a process of its own; how it ended, also when ``signals`` stopped it."""
        self._move_in()
        start_fork_server(*self.imports)
        (ending,) = Launch(Pool(self.task, [{}]), view=Silent(), signals=signals).ended([self._job_again()])
        return ending

    def _move_in(self) -> None:
        multiprocessing.set_start_method(None, force=True)  # joblib's own is unknown to the job
        os.chdir(self.folder)
        sys.path[:0] = [entry for entry in self.path if entry not in sys.path]
        if self.switches is None:
            return
        for name in switches(os.environ):
            if name != VISIBLE and name not in self.switches:
                del os.environ[name]
        os.environ.update({name: value for name, value in self.switches.items() if name != VISIBLE})

    def _job_again(self) -> Job:
        """The job goes on where an earlier attempt left off: Slurm and Ray start it again after a machine has failed.

        That one may still be saving.
        """
        until_s = time.monotonic() + GRACE_S
        while lock.holder(self.job.folder) and time.monotonic() < until_s:
            time.sleep(1)
        if self.job.manner.resume or state_of(self.job.folder).state == "missing":
            return self.job
        before = read_json(self.job.folder / "manifest.json").get("threads")
        manner = dataclasses.replace(self.job.manner, resume=True, threads=before or self.job.manner.threads)
        return dataclasses.replace(self.job, manner=manner)
