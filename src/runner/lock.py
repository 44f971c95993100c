"""One process on a run's folder at a time, by a lock that no crash leaves behind."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from runner.problem import Refused

NAME = ".lock"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other processes off ``folder``, which must exist, until this ends or the process does.

    A POSIX record lock: the system takes it back however the process ends, and forked data workers, which may
    outlive it by seconds, do not inherit it. The file stays; what it says is for people.
    Raises ``Refused`` when another process has it.
    """
    with (folder / NAME).open("a+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise Refused([f"{folder}: {_taken(folder)}"]) from None
        file.truncate(0)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        file.write(f"process {os.getpid()} on {socket.gethostname()}, since {now}\n")
        file.flush()
        yield


@contextmanager
def turn(file: Path) -> Iterator[None]:
    """Wait until no other process has its turn with ``file``, made if it is not there. A turn ends with its process."""
    with file.open("a") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        yield


def holder(folder: Path) -> str:
    """The message about the process that holds ``folder``; nothing when it is free."""
    if not (folder / NAME).is_file():
        return ""
    with (folder / NAME).open("a+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return _taken(folder)
    return ""


def _taken(folder: Path) -> str:
    who = (folder / NAME).read_text().strip() or "another process"
    return f"is in use by {who}; wait for it, or choose another folder"
