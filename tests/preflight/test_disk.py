"""Room for what the runs will leave."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from runner.preflight.disk import disk_problems, run_bytes


def test_a_run_keeps_three_states_and_the_best_weights_of_two_saves() -> None:
    assert run_bytes(100, best=0) == 900
    assert run_bytes(100, best=2) == 1300
    assert run_bytes(100, best=2, keep_best=3) == 2100


@pytest.mark.parametrize("folder", ["", "new/deep"])
def test_too_little_room(tmp_path: Path, folder: str) -> None:
    free = shutil.disk_usage(tmp_path).free
    assert list(disk_problems(tmp_path / folder, "hydra.run.dir", needed_bytes=free // 2)) == []
    (problem,) = disk_problems(tmp_path / folder, "hydra.run.dir", needed_bytes=free * 2)
    assert "the runs may take" in problem.line()
