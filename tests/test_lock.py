"""One process at a time, and no lock that outlives its process."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from runner.lock import NAME, held, holder
from runner.problem import Refused

FORK = multiprocessing.get_context("fork")


def hold(folder: Path, says: Connection) -> None:
    """Hold the folder until told to end."""
    with held(folder):
        says.send(os.getpid())
        says.recv()


def hold_and_leave_a_child(folder: Path, says: Connection) -> None:
    """Hold the folder, fork as a data loader does, and end before the child."""
    with held(folder):
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        says.send(child)
        says.recv()
    os._exit(0)


def started(work: Callable[[Path, Connection], None], folder: Path) -> tuple[multiprocessing.Process, Connection, int]:
    """A process that does ``work``, the line to it, and the number that it sent first."""
    here, there = FORK.Pipe()
    process = FORK.Process(target=work, args=(folder, there))
    process.start()
    assert here.poll(30)
    return process, here, here.recv()  # type: ignore[return-value]


def test_a_second_process_is_refused_and_told_whose_folder_it_is(tmp_path: Path) -> None:
    assert holder(tmp_path) == ""
    process, line, pid = started(hold, tmp_path)
    expected = f"is in use by process {pid} on {socket.gethostname()}, since "
    assert holder(tmp_path).startswith(expected)
    with pytest.raises(Refused) as caught, held(tmp_path):
        pass
    (problem,) = caught.value.problems
    assert problem.startswith(f"{tmp_path}: {expected}")
    assert problem.endswith("; wait for it, or choose another folder")
    assert holder(tmp_path).startswith(expected)  # being refused takes nothing away
    line.send("enough")
    process.join()
    with held(tmp_path):
        assert (tmp_path / NAME).read_text().startswith(f"process {os.getpid()} on ")


def test_a_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    process, _, _ = started(hold, tmp_path)
    process.kill()
    process.join()
    assert (tmp_path / NAME).is_file()
    assert holder(tmp_path) == ""
    with held(tmp_path):
        pass


def test_a_child_that_outlives_the_holder_does_not_keep_it(tmp_path: Path) -> None:
    process, line, child = started(hold_and_leave_a_child, tmp_path)
    try:
        process.kill()
        process.join()
        os.kill(child, 0)  # still lives
        assert holder(tmp_path) == ""
        with held(tmp_path):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        line.close()


def test_an_error_inside_lets_go(tmp_path: Path) -> None:
    with pytest.raises(KeyError), held(tmp_path):
        raise KeyError
    process, line, _ = started(hold, tmp_path)
    line.send("enough")
    process.join()
    assert process.exitcode == 0


def test_a_folder_that_was_never_used_has_no_holder_and_gets_no_file(tmp_path: Path) -> None:
    assert holder(tmp_path / "none") == ""
    assert holder(tmp_path) == ""
    assert list(tmp_path.iterdir()) == []
