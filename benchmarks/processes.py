"""Whole commands and how long they take."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ANCHORS = Path(__file__).parent / "anchors"


def wall_s(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> float:
    """Seconds from the start of ``python *arguments`` to its end, which must be a good one."""
    command = [sys.executable, *arguments]
    variables = {**os.environ, "HYDRA_FULL_ERROR": "1", **(env or {})}
    started_s = time.perf_counter()
    done = subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False)
    took_s = time.perf_counter() - started_s
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} did not complete:\n{done.stdout}{done.stderr}")
    return took_s


def settings(**values: object) -> Sequence[str]:
    """Overrides of a Hydra script."""
    return [f"{key}={'null' if value is None else value}" for key, value in values.items()]
