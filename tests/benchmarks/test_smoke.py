"""Each benchmark runs, small, and prints its table. No time is judged, and no package of an anchor is needed."""

from __future__ import annotations

import importlib
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
QUICK = ["--rounds", "1", "--warmup", "0", "--markdown"]
SMALL = {
    "start": ["--train-size", "128"],
    "epoch": [
        "--only",
        "mlp",
        "lenet",
        "--train-size",
        "128",
        "--samples",
        "32",
        "--batch-size",
        "16",
        "--workers",
        "0",
    ],
    "ddp": ["--model", "mlp", "--batch-size", "8", "--steps", "20", "--first", "10"],
    "step": ["--steps", "20", "--first", "10"],
    "data": ["--images", "64", "--batch-size", "16", "--workers", "0"],
    "gpu": ["--cpu-smoke"],
    "trajectory": ["--model", "mlp", "--batch-size", "8", "--steps", "20", "--device", "cpu", "--first", "10"],
}
ROWS = {"start": 2, "epoch": 1, "ddp": 2, "step": 4, "data": 2, "gpu": 5, "trajectory": 1}  # the rest is not installed
UNITS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}


def rows(output: str) -> list[list[str]]:
    """The cells of each row below the headings."""
    lines = [line.strip("| ").split(" | ") for line in output.splitlines() if line.startswith("| ")]
    assert lines[0][:5] == ["what", "against", "ours", "theirs", "ratio"]
    return lines[2:]


@pytest.fixture(scope="module")
def driver() -> Iterator[subprocess.Popen[str]]:
    """One process that runs benchmarks: see there."""
    command = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("driver.py"))]
    environment = {**os.environ, "PYTHONPATH": str(BENCHMARKS)}
    with subprocess.Popen(
        command, cwd=BENCHMARKS, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process


@pytest.mark.parametrize("name", SMALL)
def test_it_prints_finite_numbers(driver: subprocess.Popen[str], name: str) -> None:
    assert driver.stdin is not None
    assert driver.stdout is not None
    print(json.dumps([name, *QUICK, *SMALL[name]]), file=driver.stdin, flush=True)
    status, said = json.loads(driver.stdout.readline())
    assert status == 0, said
    found = rows(said)
    assert len(found) >= ROWS[name], said
    for _, _, ours, theirs, ratio, span, count, *_ in found:
        for time in (ours, theirs):
            value, unit = time.split()
            assert 0 < float(value) * UNITS[unit] < math.inf
        low, high = map(float, re.split("–", span))
        assert 0 < low <= float(ratio) <= high < math.inf
        assert count == "1"


def test_a_command_is_timed_and_must_succeed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    wall_s = importlib.import_module("processes").wall_s
    assert wall_s("-c", "import time; time.sleep(0.1)", cwd=tmp_path) > 0.1
    with pytest.raises(SystemExit, match="did not complete:\nno, 3"):
        wall_s("-c", "import os, sys; sys.exit('no, ' + os.environ['N'])", cwd=tmp_path, env={"N": "3"})
