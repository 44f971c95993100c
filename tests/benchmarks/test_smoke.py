"""Each benchmark runs, small, and prints its table. No time is judged, and no package of an anchor is needed."""

from __future__ import annotations

import math
import re
import subprocess
import sys
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
DRIVER = "import importlib, sys; sys.exit(importlib.import_module(sys.argv[1]).main(sys.argv[2:]))"
UNITS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}


def rows(output: str) -> list[list[str]]:
    """The cells of each row below the headings."""
    lines = [line.strip("| ").split(" | ") for line in output.splitlines() if line.startswith("| ")]
    assert lines[0][:5] == ["what", "against", "ours", "theirs", "ratio"]
    return lines[2:]


@pytest.mark.parametrize("name", SMALL)
def test_it_prints_finite_numbers(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, name, *QUICK, *SMALL[name]],
        cwd=BENCHMARKS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = rows(done.stdout)
    assert len(found) >= ROWS[name], done.stdout
    for _, _, ours, theirs, ratio, span, count, *_ in found:
        for time in (ours, theirs):
            value, unit = time.split()
            assert 0 < float(value) * UNITS[unit] < math.inf
        low, high = map(float, re.split("–", span))
        assert 0 < low <= float(ratio) <= high < math.inf
        assert count == "1"
