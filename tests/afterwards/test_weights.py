"""Which weights are meant."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from runner.afterwards.weights import checkpoint_file, checkpoints_of, evaluated
from runner.problem import Refused


@pytest.fixture
def run(tmp_path: Path) -> Path:
    for name in ("previous.pt", "best_loss.pt", "last.pt", ".last.pt.7", "best_accuracy.pt", "notes.txt"):
        (tmp_path / "checkpoints" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "checkpoints" / name).touch()
    return tmp_path


def test_the_last_state_comes_first_and_what_is_being_written_never(run: Path) -> None:
    names = [file.name for file in checkpoints_of(run)]
    assert names == ["last.pt", "best_accuracy.pt", "best_loss.pt", "previous.pt"]


def test_names_and_paths(run: Path) -> None:
    best = run / "checkpoints/best_loss.pt"
    assert checkpoint_file(run, "best_loss") == checkpoint_file(run, "best_loss.pt") == best
    assert checkpoint_file(run, str(run / "checkpoints/notes.txt")).name == "notes.txt"
    with pytest.raises(Refused, match="it has last, best_accuracy, best_loss, previous"):
        checkpoint_file(run, "best")
    with pytest.raises(Refused, match="it has no checkpoints"):
        checkpoint_file(run / "nowhere", "last")


def test_the_next_best_have_names_too(run: Path) -> None:
    next_best = run / "checkpoints/best_loss.step_00000390.pt"
    next_best.touch()
    assert [file.stem for file in checkpoints_of(run)][2:4] == ["best_loss", "best_loss.step_00000390"]
    assert checkpoint_file(run, "best_loss.step_00000390") == next_best


def test_averages_stand_in_for_what_they_are_of() -> None:
    """A weight that goes by two names has its average once, under the first."""
    tied, alone, count = torch.zeros(2), torch.zeros(3), torch.tensor(7)
    averages = {"a": torch.ones(2), "alone": torch.full((3,), 2.0)}
    found = evaluated({"a": tied, "b": tied, "alone": alone, "count": count}, averages)
    assert {name: tensor.tolist() for name, tensor in found.items()} == {
        "a": [1, 1],
        "b": [1, 1],
        "alone": [2, 2, 2],
        "count": 7,
    }
