"""What a fork server brings to all jobs, and what only to those that need it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

ASKED = ("torchmetrics", "torchvision", "torch._dynamo", "runner.metrics.ranking", "runner.run", "runner.tasks.gan")


def loaded(*before: str) -> set[str]:
    lines = [f"import {name}" for name in (*before, "runner.sweep.preloaded", "json", "sys")]
    script = "\n".join([*lines, f"print(json.dumps([name for name in {ASKED} if name in sys.modules]))"])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_what_takes_seconds_is_left_to_those_that_use_it() -> None:
    assert loaded() == {"runner.run", "runner.tasks.gan"}


def test_which_share_it() -> None:
    assert loaded("torchmetrics") >= {"torchmetrics", "runner.metrics.ranking", "runner.run"}
