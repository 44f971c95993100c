"""What a sweep still has to do, and what came of it. Free of torch."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from omegaconf import DictConfig

from runner.preflight import Findings, Job, check
from runner.problem import Found, Problem
from runner.sweep.ledger import Entry, State, state_of

log = logging.getLogger(__name__)

Action = Literal["start", "resume", "skip"]


@dataclass(frozen=True)
class Planned:
    """A job, its folder, what it was before, and what is to be done about it."""

    entry: Entry
    folder: Path
    before: State
    action: Action


def planned(entries: Sequence[Entry], folder: Path, *, retry_failed: bool) -> list[Planned]:
    """What to do about each job: one that completed under the same configuration is skipped, a stopped one goes on."""
    found = []
    for entry in entries:
        before = state_of(folder / entry.name)
        found.append(Planned(entry, folder / entry.name, before, _action(entry, before, retry_failed=retry_failed)))
    return found


def _action(entry: Entry, before: State, *, retry_failed: bool) -> Action:
    if before.state == "missing":
        return "start"
    same = before.config_digest in ("", entry.config_digest)  # "": killed before it had written what it was
    if not same:
        return "start"  # which the check of its folder refuses, with the keys that differ
    if before.state == "completed" or (before.state == "failed" and not retry_failed):
        return "skip"
    return "resume"


def refuse_problems(
    jobs: Sequence[Planned],
    cfgs: Sequence[DictConfig],
    folder: Path,
    *,
    launcher: Sequence[str] = (),
    uncomposed: Sequence[Found] = (),
    elsewhere: bool = False,
) -> None:
    """Check all jobs that have work to do, together, and say what cannot be. Raises ``Refused`` with all that is wrong.

    ``launcher`` has a line for each setting of the launcher with which they cannot be run, ``uncomposed`` what is wrong
    with other jobs of the sweep; ``elsewhere``: the launcher runs them on other machines.
    """
    to_check = [
        Job(
            name=job.entry.name,
            cfg=cfg,
            folder=job.folder,
            overrides=job.entry.overrides,
            choices=dict(job.entry.choices),
            resumes=job.action == "resume",
        )
        for job, cfg in zip(jobs, cfgs, strict=True)
        if job.action != "skip"
    ]
    names = [job.name for job in to_check]
    found = check(to_check, sweep_folder=folder, elsewhere=elsewhere) if to_check else Findings([])
    for note in found.notes():
        print(f"runner: {note}", file=sys.stderr)
    of_launcher = [Found(Problem.of_line(line), names) for line in launcher]
    others = [name for each in uncomposed for name in each.jobs]
    replace(found, jobs=[*names, *others], wrong=[*uncomposed, *of_launcher, *found.wrong]).raise_wrong()
    print("".join(f"{line}\n" for line in found.prospects()), end="")


def write_report(folder: Path, *, draw: bool) -> None:
    """Bring the report of the sweep up to date. That it cannot be written is said, and stops nothing."""
    from runner.results.report import report

    try:
        report([folder], draw=draw)
    except (OSError, ValueError) as error:
        log.warning("the report of %s could not be written: %s", folder, error)


@dataclass(frozen=True)
class Outcome:
    """What came of a sweep: its jobs as they were planned, and as they stand now; and what its sweeper found out."""

    folder: Path
    jobs: Sequence[Planned]
    now: Sequence[State]
    notes: Sequence[str] = ()

    @classmethod
    def of(cls, folder: Path, jobs: Sequence[Planned], notes: Sequence[str] = ()) -> Outcome:
        return cls(folder, jobs, [state_of(job.folder) for job in jobs], notes)

    @property
    def completed(self) -> bool:
        """Whether there was a run, and all were completed."""
        return bool(self.now) and all(state.state == "completed" for state in self.now)

    def prospect(self) -> str:
        """What there is to do: ``multirun/a: 1 of 3 jobs would run: mlp__2``."""
        todo = [job.entry.name for job in self.jobs if job.action != "skip"]
        would = f"{len(todo)} of {len(self.jobs)} jobs would run: {', '.join(todo)}"
        return "\n".join(self.notes) or f"{self.folder}: {would}"

    def lines(self) -> Iterator[str]:
        """``35 of 40 runs completed, 12 of them before``, then one line for each that did not."""
        done = [job for job, state in zip(self.jobs, self.now, strict=True) if state.state == "completed"]
        before = sum(job.action == "skip" for job in done)
        yield f"{len(done)} of {len(self.jobs)} runs completed" + (f", {before} of them before" if before else "")
        for job, state in zip(self.jobs, self.now, strict=True):
            if state.state != "completed":
                yield f"  {state.state.upper()} {job.entry.name}: {_told(job, state)}"
        yield from self.notes


def _told(job: Planned, state: State) -> str:
    reason = state.reason.splitlines()[0] if state.reason else "it says no more"
    if job.action == "skip":
        return f"{reason}; not tried again: retry_failed=true does"
    log = next((name for name in ("console.log", "runner.log") if (job.folder / name).is_file()), "")
    return f"{reason}; see {job.folder / log}" if log else reason
