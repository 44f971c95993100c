"""What is wrong with a setting, and what to do about it. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a setting, and what to do about it.

    ``key`` is relative to the object that reports it ("root"); preflight puts the group before it
    ("dataset.root").
    """

    key: str
    value: object
    text: str
    remedy: str

    def line(self) -> str:
        """``trainer.epochs=0: must be at least 1; set trainer.epochs=<n>``."""
        setting = self.key if self.value is None else f"{self.key}={self.value}"
        told = self.text if self.text.startswith(setting) else f"{setting}: {self.text}"
        return f"{told}; {self.remedy}" if self.remedy else told

    @classmethod
    def of_line(cls, line: str) -> Problem:
        """From a message that is written as ``line`` writes one."""
        setting, colon, told = line.partition(": ")
        if not colon or " " in setting.partition("=")[0]:
            return cls("", None, line, "")
        key, equals, value = setting.partition("=")
        text, _, remedy = told.rpartition("; ") if "; " in told else (told, "", "")
        return cls(key, value if equals else None, text, remedy)


@runtime_checkable
class Checked(Protocol):
    """What can say what stands against using it: a server that does not answer, a package that is not installed.

    ``elsewhere``: the job runs on another machine, whose network is not known here.
    """

    def problems(self, *, elsewhere: bool = False) -> Sequence[Problem]: ...


@dataclass(frozen=True)
class Found:
    """Something to be told, and the names of the jobs that it is about."""

    problem: Problem
    jobs: Sequence[str]


class Refused(ValueError):
    """Settings with which no work is started. Nothing has been written.

    Of a sweep, ``found`` has the same problems apart, and ``jobs`` the names of all jobs.
    """

    def __init__(self, problems: Sequence[str], *, found: Sequence[Found] = (), jobs: Sequence[str] = ()) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)
        self.found = list(found)
        self.jobs = list(jobs)


class Failed(RuntimeError):
    """A run that was started and did not complete. Its folder tells more."""


def reason_of(error: BaseException) -> str:
    """Why something failed; a ``Failed`` is written for the reader, of others the type belongs to it."""
    return str(error) if isinstance(error, Failed) else f"{type(error).__name__}: {error}"


class Interrupted(KeyboardInterrupt):
    """Training was asked to stop, and did: its state is saved. Not an ``Exception``: nothing goes on after it."""
