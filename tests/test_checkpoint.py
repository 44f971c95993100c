"""Files that appear whole or not at all, and what they bring back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from runner import checkpoint
from runner.checkpoint import FolderCheckpoints, NoCheckpoints, read, write_whole
from runner.state import State


def made(folder: Path, value: float = 1.0) -> FolderCheckpoints:
    task = nn.Linear(1, 1)
    nn.init.constant_(task.weight, value)
    return FolderCheckpoints(folder, {"task": task, "state": State()})


def weight(checkpoints: FolderCheckpoints) -> float:
    task = checkpoints.parts["task"]
    assert isinstance(task, nn.Linear)
    return task.weight.item()


def test_everything_comes_back_and_the_step_with_it(tmp_path: Path) -> None:
    made(tmp_path / "new" / "folder", 3.0).save(7)
    fresh = made(tmp_path / "new" / "folder")
    assert fresh.restore() == 7
    assert weight(fresh) == 3.0


def test_files_hold_nothing_but_tensors_and_plain_values(tmp_path: Path) -> None:
    kept = made(tmp_path)
    kept.save(1)
    kept.save_best(1, {"valid/loss": 0.5})
    for file in (kept.last, tmp_path / "best_loss.pt"):
        assert torch.load(file, weights_only=True)["format"] == checkpoint.FORMAT


def half_written(_content: object, file: Any) -> None:
    file.write(b"half of it")
    raise OSError("no space left on device")


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = made(tmp_path, 3.0)
    kept.save(1)
    before = kept.last.read_bytes()
    monkeypatch.setattr(torch, "save", half_written)
    with pytest.raises(OSError, match="no space left"):
        kept.save(2)
    monkeypatch.undo()
    assert kept.last.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]
    assert kept.saved_step == 1
    kept.save(2)
    assert read(kept.last)["step"] == 2


def test_a_step_is_written_once(tmp_path: Path) -> None:
    kept = made(tmp_path)
    kept.save(4)
    kept.last.unlink()
    kept.save(4)
    assert not kept.last.exists()
    kept.save(5)
    assert kept.last.exists()


def test_each_improved_metric_has_its_file(tmp_path: Path) -> None:
    kept = made(tmp_path, 2.0)
    kept.save_best(3, {})
    assert list(tmp_path.iterdir()) == []
    kept.save_best(3, {"valid/loss": 0.5, "valid/top/5": 0.9})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best_loss.pt", "best_top_5.pt"]
    content = read(tmp_path / "best_loss.pt")
    assert (content["step"], content["metrics"]["valid/loss"]) == (3, 0.5)
    assert content["task"]["weight"].item() == 2.0


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    made(tmp_path).save(1)
    other = FolderCheckpoints(tmp_path, {"task": nn.Linear(1, 1), "state": State(), "update/model": State()})
    with pytest.raises(ValueError, match=r"belongs to another run: update/model do not match"):
        other.restore()


@pytest.mark.parametrize("content", [{"format": 0}, {"weights": 1}, [1, 2]])
def test_a_torch_file_that_is_no_checkpoint_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "last.pt")
    with pytest.raises(ValueError, match="is not a checkpoint of this version"):
        read(tmp_path / "last.pt")


@pytest.mark.parametrize("content", [b"", b"not a torch file", b"PK\x03\x04 cut off"])
def test_a_file_that_is_no_torch_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "last.pt").write_bytes(content)
    with pytest.raises(ValueError, match="is not a checkpoint"):
        read(tmp_path / "last.pt")


def test_a_best_file_cannot_be_resumed_from(tmp_path: Path) -> None:
    kept = made(tmp_path)
    kept.save_best(3, {"valid/loss": 0.5})
    with pytest.raises(ValueError, match=r"best_loss\.pt"):
        kept.restore(tmp_path / "best_loss.pt")


def test_nothing_is_kept_where_nothing_should_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    NoCheckpoints().save(3)
    NoCheckpoints().save_best(3, {"valid/loss": 1.0})
    assert list(tmp_path.iterdir()) == []


def test_write_whole_makes_the_folder(tmp_path: Path) -> None:
    write_whole(tmp_path / "a" / "b" / "x.pt", {"format": checkpoint.FORMAT})
    assert read(tmp_path / "a" / "b" / "x.pt") == {"format": checkpoint.FORMAT}
