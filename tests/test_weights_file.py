"""Which file is meant, and what may be in it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from runner.checkpoint import FolderCheckpoints
from runner.state import State
from runner.weights_file import UnusableWeights, file_of, read

WEIGHTS = {"0.weight": torch.arange(6.0).view(2, 3), "0.count": torch.tensor(7)}


def kept(run: Path, step: int = 4, best: tuple[str, ...] = ()) -> FolderCheckpoints:
    """What a run leaves in its folder."""
    made = FolderCheckpoints(run / "checkpoints", {"task": nn.Sequential(nn.Linear(3, 2)), "state": State()})
    made.save(step)
    made.save_best(step, {f"valid/{name}": 0.5 for name in best})
    return made


def save_safetensors(content: dict[str, Tensor], file: Path) -> None:
    pytest.importorskip("safetensors.torch").save_file(content, file)


class TestWhichFileIsMeant:
    def test_a_file_is_itself(self, tmp_path: Path) -> None:
        (tmp_path / "any.pth").touch()
        assert file_of(tmp_path / "any.pth") == tmp_path / "any.pth"

    @pytest.mark.parametrize(("best", "meant"), [((), "last.pt"), (("loss",), "best_loss.pt")])
    @pytest.mark.parametrize("below", ["", "checkpoints"])
    def test_a_run_means_its_best_weights_or_its_last(
        self, tmp_path: Path, best: tuple[str, ...], meant: str, below: str
    ) -> None:
        kept(tmp_path, best=best)
        assert file_of(tmp_path / below) == tmp_path / "checkpoints" / meant

    def test_a_run_with_several_best_weights_does_not_say_which(self, tmp_path: Path) -> None:
        kept(tmp_path, best=("loss", "accuracy"))
        with pytest.raises(UnusableWeights, match=r"best_accuracy\.pt, best_loss\.pt; choose one: init_from="):
            file_of(tmp_path)

    def test_the_next_best_are_not_meant(self, tmp_path: Path) -> None:
        best = kept(tmp_path, best=("loss",)).best.path("valid/loss")
        best.with_name("best_loss.step_00000390.pt").touch()
        assert file_of(tmp_path) == best

    def test_what_is_not_there_is_told_with_what_is_near(self, tmp_path: Path) -> None:
        (tmp_path / "weights.pt").touch()
        with pytest.raises(UnusableWeights, match=r"no such file or folder; did you mean \S+/weights\.pt\?"):
            file_of(tmp_path / "wieghts.pt")
        with pytest.raises(UnusableWeights, match="no such file or folder; give a file"):
            file_of(tmp_path / "nowhere" / "x.pt")
        with pytest.raises(UnusableWeights, match="is a folder without checkpoints"):
            file_of(tmp_path)

    def test_a_name_that_no_file_can_have_is_told(self) -> None:
        with pytest.raises(UnusableWeights, match="cannot be read"):
            file_of("x" * 300)


class TestWhatIsRead:
    @pytest.mark.parametrize("best", [(), ("loss",)], ids=["last.pt", "best_loss.pt"])
    def test_a_run_of_ours(self, tmp_path: Path, best: tuple[str, ...]) -> None:
        made = kept(tmp_path, step=400, best=best)
        found = read(tmp_path)
        assert found.step == 400
        weights = made.parts["task"].state_dict()
        assert found.tensors.keys() == weights.keys()
        assert all(torch.equal(found.tensors[name], weights[name]) for name in weights)

    @pytest.mark.parametrize(
        ("name", "save"),
        [
            ("x.pt", torch.save),
            ("x.pth", lambda content, file: torch.save({"state_dict": content, "epoch": 3}, file)),
            ("x.tar", lambda content, file: torch.save({"model": content, "optimizer": {}}, file)),
            ("x", lambda content, file: torch.save({"model_state_dict": content}, file)),
            ("old.pt", lambda content, file: torch.save(content, file, _use_new_zipfile_serialization=False)),
            ("x.safetensors", save_safetensors),
        ],
        ids=["plain", "state_dict", "model", "model_state_dict", "old format", "safetensors"],
    )
    def test_files_of_others(self, tmp_path: Path, name: str, save: Callable[[Any, Path], None]) -> None:
        save(WEIGHTS, tmp_path / name)
        found = read(tmp_path / name)
        assert found.step is None
        assert found.tensors.keys() == WEIGHTS.keys()
        assert all(torch.equal(found.tensors[key], tensor) for key, tensor in WEIGHTS.items())


class Bomb:
    """Unpickled, it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.mkdir, (str(self.folder),)


class TestWhatIsRefused:
    def test_a_pickle_that_runs_code(self, tmp_path: Path) -> None:
        file, effect = tmp_path / "bomb.pt", tmp_path / "effect"
        torch.save({"weight": torch.zeros(1), "more": Bomb(effect)}, file)
        with pytest.raises(UnusableWeights, match=r"\(posix\.mkdir\), which could run code when it is read; save its"):
            read(file)
        assert not effect.exists()
        torch.load(file, weights_only=False)
        assert effect.is_dir(), "the bomb is a dud, and the test shows nothing"

    def test_a_whole_model_in_a_pickle(self, tmp_path: Path) -> None:
        torch.save(nn.Linear(1, 1), tmp_path / "x.pt")
        with pytest.raises(UnusableWeights, match=r"\(torch\.nn\.modules\.linear\.Linear\)"):
            read(tmp_path / "x.pt")

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ([1, 2], "holds no weights, but a list"),
            ({}, "holds no weights, but an empty dict"),
            ({"weight": torch.zeros(1), "epoch": 3}, "holds no state_dict: 'epoch' is no tensor, but a int"),
            ({"state_dict": {"weight": [1.0]}}, "holds no state_dict: 'weight' is no tensor, but a list"),
            ({"format": 1, "task": WEIGHTS}, "is not a checkpoint, or not a whole one"),
        ],
    )
    def test_what_holds_no_weights(self, tmp_path: Path, content: object, message: str) -> None:
        torch.save(content, tmp_path / "x.pt")
        with pytest.raises(UnusableWeights, match=re.escape(message)):
            read(tmp_path / "x.pt")

    @pytest.mark.parametrize("name", ["x.pt", "x.safetensors"])
    @pytest.mark.parametrize("content", [b"", b"not a file of torch", b"PK\x03\x04 cut off"])
    def test_what_is_no_such_file(self, tmp_path: Path, name: str, content: bytes) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnusableWeights, match=r"is not a file of torch, or not a whole one|cannot be read"):
            read(tmp_path / name)

    @pytest.mark.parametrize("name", ["last.pt", "best_loss.pt"])
    def test_each_damaged_byte_of_a_checkpoint(self, tmp_path: Path, name: str) -> None:
        kept(tmp_path, best=("loss",))
        file = tmp_path / "checkpoints" / name
        whole = file.read_bytes()
        for place in range(0, len(whole), len(whole) // 40):
            file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            with pytest.raises(UnusableWeights, match=r"is damaged|not a whole one"):
                read(file)
        file.write_bytes(whole)
        assert read(file).step == 4

    def test_safetensors_without_the_package(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "x.safetensors").touch()
        monkeypatch.setitem(sys.modules, "safetensors", None)
        with pytest.raises(UnusableWeights, match=r"needs the package safetensors; install runner\[safetensors\]"):
            read(tmp_path / "x.safetensors")
