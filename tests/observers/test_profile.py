"""Where the time of a step goes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny

from runner.observers import Profile
from runner.observers.observer import Outcome


def test_a_profile_leaves_its_table_and_trace_and_changes_nothing(tmp_path: Path) -> None:
    alone = tiny.session(steps=6)
    alone.train()
    watched = tiny.session(steps=6, folder=tmp_path, observers=[Profile(skip_steps=1)])
    watched.train()
    watched.observers.finished(Outcome("completed", 6, {}))
    assert "aten::" in (tmp_path / "profile" / "table.txt").read_text()
    assert json.loads((tmp_path / "profile" / "trace.json").read_text())["traceEvents"]
    assert tiny.differing(alone, watched) == []


def test_a_run_that_ends_before_the_profile_begins_leaves_nothing(tmp_path: Path) -> None:
    made = tiny.session(steps=4, folder=tmp_path, observers=[Profile(skip_steps=50)])
    made.train()
    made.observers.finished(Outcome("completed", 4, {}))
    assert not (tmp_path / "profile").exists()


def test_a_negative_number_of_steps_is_refused() -> None:
    with pytest.raises(ValueError, match=r"logger\.profile\.skip_steps must not be negative, got -1"):
        Profile(skip_steps=-1)
