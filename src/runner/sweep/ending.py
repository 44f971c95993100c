"""How a job ended, whether or not it could still say so. Free of torch."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from runner import lock
from runner.results.manifest import read_json, write_status

CONSOLE = "console.log"
FAULTS = (signal.SIGSEGV, signal.SIGFPE, signal.SIGABRT, signal.SIGBUS, signal.SIGILL)  # those of faulthandler

State = Literal["completed", "interrupted", "failed", "unstarted"]


@dataclass(frozen=True)
class Ending:
    """``returned`` is what a job gave that completed; otherwise ``cause`` says why it did not."""

    state: State
    returned: Any = None
    cause: str = ""
    refused: bool = False  # nothing was started: the folder is somebody else's


def cause_of_death(exit_status: int) -> str:
    """Why a process ended that did not say so: by a signal when ``exit_status`` is negative."""
    if exit_status >= 0:
        return f"ended without a result, exit status {exit_status}"
    number = signal.Signals(-exit_status)
    if number == signal.SIGKILL:
        return "killed by SIGKILL: perhaps the system ran out of memory"
    meaning = (signal.strsignal(number) or "").lower()
    stack = f"; stack in {CONSOLE}" if number in FAULTS else ""
    return f"killed by {number.name} ({meaning}){stack}"


def status_of(folder: Path) -> dict[str, Any]:
    """What the run's ``status.json`` says; a damaged one says nothing, and is replaced at the end."""
    try:
        return read_json(folder / "status.json")
    except ValueError:
        return {}


def settle(folder: Path, ending: Ending, *, before: Mapping[str, Any]) -> None:
    """Write into ``status.json`` how a job ended that could not do so itself.

    ``before`` is what it said when the job began. The step is kept.
    """
    if ending.state == "completed" or ending.refused or lock.holder(folder):
        return
    status = status_of(folder)
    if status == before or status.get("state") != ending.state:
        folder.mkdir(parents=True, exist_ok=True)  # it may have died before it had one
        write_status(folder, ending.state, ending.cause, step=status.get("step", 0))


def counted(endings: Sequence[Ending]) -> str:
    """``3 of 10 jobs completed, 2 interrupted, 5 unstarted``."""
    states = [ending.state for ending in endings]
    rest = [f"{states.count(state)} {state}" for state in ("failed", "interrupted", "unstarted") if state in states]
    return ", ".join([f"{states.count('completed')} of {len(states)} jobs completed", *rest])
