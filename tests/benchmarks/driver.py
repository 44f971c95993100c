"""Benchmarks of which all processes are forks of one, which imports once what they need; run where they are.

For each line on stdin, ``["step", "--rounds", "1"]``, there is one on stdout: the exit status and what was printed.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import runpy
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

LOADED = ("runner.run", "runner.cli.app", "runner.sweep.preloaded", "lightning", "accelerate", "ignite.engine")


def forked(work: Callable[[], object]) -> tuple[int, str]:
    """Exit status and output of a process that does ``work``."""
    with tempfile.TemporaryFile() as output:
        pid = os.fork()
        if pid == 0:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            _live(work)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        output.seek(0)
        return status, output.read().decode()


def _live(work: Callable[[], object]) -> None:
    status: object = 70
    try:
        status = work() or 0
    except SystemExit as ended:
        status = ended.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        if not isinstance(status, int):
            print(status)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else 1)


def wall_s(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> float:
    """As that of ``processes``, without the start of Python."""

    def command() -> None:
        os.chdir(cwd)
        os.environ.update({"HYDRA_FULL_ERROR": "1", **(env or {})})
        if arguments[0] == "-m":
            sys.argv[1:] = arguments[2:]
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv[:] = arguments
            sys.path.insert(0, str(Path(arguments[0]).parent))
            runpy.run_path(arguments[0], run_name="__main__")

    started_s = time.perf_counter()
    status, said = forked(command)
    if status != 0:
        raise SystemExit(f"{' '.join(arguments)} did not complete:\n{said}")
    return time.perf_counter() - started_s


def main() -> None:
    importlib.import_module("processes").wall_s = wall_s  # type: ignore[attr-defined]
    for name in LOADED:
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(name)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        print(json.dumps(forked(lambda: importlib.import_module(name).main(arguments))), flush=True)  # noqa: B023


if __name__ == "__main__":
    main()
