"""Training that is killed for real, and resumed by the real command, comes out as if it had not been."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def answer(*arguments: str) -> tuple[int, str]:
    """Exit status and output of Python, started where the benchmarks are."""
    done = subprocess.run([sys.executable, *arguments], cwd=BENCHMARKS, capture_output=True, text=True, timeout=600)
    return done.returncode, done.stdout + done.stderr


def counted(said: str, what: str) -> int:
    found = re.search(rf"(\d+) {what}", said)
    return int(found[1]) if found else 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kills", "how"),
    [(20, ()), (4, ("--aimed", "--scenario=classification"))],
    ids=["at random instants", "where something is written"],
)
def test_killed_and_resumed_is_left_alone(kills: int, how: tuple[str, ...]) -> None:
    status, said = answer("kill.py", f"--kills={kills}", *how)
    assert status == 0, said
    assert counted(said, "killed") == kills, said
    assert counted(said, "resumed") > 0, said
    assert counted(said, "identical") > 0, said


@pytest.mark.slow
def test_which_can_fail() -> None:
    """The guard is the checkpoint: here it brings back everything but what the optimizer remembers."""
    sabotage = "import kill, runner.update; runner.update.Update.load_state_dict = lambda *_: None"
    status, said = answer("-c", f"{sabotage}; raise SystemExit(kill.main(['--kills=4', '--scenario=fp16']))")
    assert status == 1, said
    assert counted(said, "different") == 1, said
    assert "fp16: checkpoints/" in said
