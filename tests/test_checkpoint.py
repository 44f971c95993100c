"""Files that appear whole or not at all, know when they are damaged, and bring everything back."""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import pickle
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from torch import nn

from runner import checkpoint
from runner.checkpoint import (
    SEAL,
    SEAL_BYTES,
    FolderCheckpoints,
    NoCheckpoints,
    NotSaved,
    Unsound,
    different_identity,
    read,
    verify,
    write_whole,
)
from runner.state import State


def made(folder: Path, value: float = 1.0, **settings: Any) -> FolderCheckpoints:
    task = nn.Linear(1, 1)
    nn.init.constant_(task.weight, value)
    return FolderCheckpoints(folder, {"task": task, "state": State()}, **settings)


def kept_two(folder: Path, **settings: Any) -> FolderCheckpoints:
    """``previous.pt`` of step 1 and weight 1, ``last.pt`` of step 2 and weight 2."""
    kept = made(folder, 1.0, **settings)
    kept.save(1)
    nn.init.constant_(kept.parts["task"].weight, 2.0)  # type: ignore[attr-defined]
    kept.save(2)
    return kept


def weight(checkpoints: FolderCheckpoints) -> float:
    task = checkpoints.parts["task"]
    assert isinstance(task, nn.Linear)
    return task.weight.item()


def damage(path: Path, place: int = 100) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def tree(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_everything_comes_back_and_the_step_with_it(tmp_path: Path) -> None:
    made(tmp_path / "new" / "folder", 3.0).save(7)
    fresh = made(tmp_path / "new" / "folder")
    assert fresh.restore() == 7
    assert weight(fresh) == 3.0


def test_files_are_plain_torch_files_of_tensors_and_plain_values(tmp_path: Path) -> None:
    kept = kept_two(tmp_path, identity={"seed": 0, "a": None, "b": [1, 2.5, "x"], "c": {}, "d": True})
    kept.save_best(1, {"valid/loss": 0.5})
    for file in (kept.last, kept.previous, tmp_path / "best_loss.pt"):
        content = torch.load(file, weights_only=True)
        assert content["format"] == checkpoint.FORMAT
        assert torch.load(file, weights_only=True, mmap=True)["step"] == content["step"] == read(file)["step"]


def test_a_step_is_written_once(tmp_path: Path) -> None:
    kept = made(tmp_path)
    kept.save(4)
    kept.last.unlink()
    kept.save(4)
    assert not kept.last.exists()
    kept.save(5)
    assert kept.last.exists()


def test_a_checkpoint_is_due_after_so_many_seconds(tmp_path: Path) -> None:
    assert not NoCheckpoints().is_due()
    assert not made(tmp_path).is_due()
    kept = made(tmp_path, save_every_s=3600.0)
    assert not kept.is_due()
    kept.saved_at -= 3601
    assert kept.is_due()
    kept.save(1)
    assert not kept.is_due()


def test_each_improved_metric_has_its_file(tmp_path: Path) -> None:
    kept = made(tmp_path, 2.0)
    kept.save_best(3, {})
    assert list(tmp_path.iterdir()) == []
    kept.save_best(3, {"valid/loss": 0.5, "valid/top/5": 0.9})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best_loss.pt", "best_top_5.pt"]
    content = read(tmp_path / "best_loss.pt")
    assert (content["step"], content["metrics"]["valid/loss"]) == (3, 0.5)
    assert content["task"]["weight"].item() == 2.0


def test_nothing_is_kept_where_nothing_should_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    NoCheckpoints().save(3)
    NoCheckpoints().save_best(3, {"valid/loss": 1.0})
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A real checkpoint, of a training that has begun."""
    folder = tmp_path_factory.mktemp("checkpoint")
    session = tiny.session(folder=folder, steps=3)
    session.train()
    assert read(folder / "last.pt")["step"] == 3
    return (folder / "last.pt").read_bytes()


class TestDamage:
    """Any byte that is not what was written is seen."""

    def test_each_of_200_flipped_bytes_is_detected(self, tmp_path: Path, whole: bytes) -> None:
        """At random, and the first, the last of the torch file, all of the seal. torch itself would miss many."""
        draws = random.Random(0)
        end = len(whole) - SEAL_BYTES
        places = [0, end - 1, *range(end, len(whole))]
        places += draws.sample(range(1, end - 1), 200)
        path = tmp_path / "last.pt"
        unseen_by_torch = 0
        for number, place in enumerate(places):
            changed = bytearray(whole)
            changed[place] ^= draws.randrange(1, 256)
            path.write_bytes(changed)
            with pytest.raises(Unsound, match=r"last\.pt is (damaged|not a checkpoint)"):
                read(path)
            if number >= len(places) - 20:
                with contextlib.suppress(Exception):
                    torch.load(path, weights_only=True)
                    unseen_by_torch += 1
        assert unseen_by_torch > 5  # so the seal is what detects

    def test_a_file_that_is_cut_off_or_longer_is_detected(self, tmp_path: Path, whole: bytes) -> None:
        path = tmp_path / "last.pt"
        end = len(whole) - SEAL_BYTES
        cuts = [0, 1, SEAL_BYTES - 1, SEAL_BYTES, SEAL_BYTES + 1, end - 1, end, end + 1, len(whole) - 1]
        for content in (*(whole[:cut] for cut in cuts), whole + b"\0", whole + whole, whole[1:], whole + whole[end:]):
            path.write_bytes(content)
            with pytest.raises(Unsound):
                read(path)
        path.write_bytes(whole)
        assert read(path)["step"] == 3

    def test_blocks_that_were_swapped_are_detected(self, tmp_path: Path, whole: bytes) -> None:
        path = tmp_path / "last.pt"
        path.write_bytes(whole[512:1024] + whole[:512] + whole[1024:])
        with pytest.raises(Unsound, match="is damaged: it is not what was written"):
            verify(path)

    @pytest.mark.parametrize("content", [b"", b"not a torch file", b"PK\x03\x04 cut off", SEAL])
    def test_a_file_that_is_no_torch_file_is_refused(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "last.pt").write_bytes(content)
        with pytest.raises(Unsound, match=r"last\.pt is "):
            read(tmp_path / "last.pt")

    def test_a_seal_around_something_else_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "last.pt"
        path.write_bytes(sealed(b"not a torch file"))
        verify(path)
        with pytest.raises(Unsound):
            read(path)

    @pytest.mark.parametrize("content", [{"format": 0}, {"format": 2, "step": 3}, {"weights": 1}, [1, 2]])
    def test_a_torch_file_that_is_no_checkpoint_is_refused(self, tmp_path: Path, content: object) -> None:
        torch.save(content, tmp_path / "plain.pt")
        with pytest.raises(Unsound, match="is not a checkpoint, or not a whole one"):
            read(tmp_path / "plain.pt")
        (tmp_path / "sealed.pt").write_bytes(sealed((tmp_path / "plain.pt").read_bytes()))
        with pytest.raises(Unsound, match=r"is not a checkpoint of this version \(format 3\)"):
            read(tmp_path / "sealed.pt")


def sealed(content: bytes) -> bytes:
    import hashlib

    return content + SEAL + hashlib.sha256(content).hexdigest().encode()


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("old", [False, True])
def test_a_pickle_bomb_with_a_true_seal_is_refused_and_does_not_go_off(tmp_path: Path, old: bool) -> None:
    """Loaded without care, the same file does run its code."""
    crater, file = tmp_path / "crater", io.BytesIO()
    torch.save({"format": checkpoint.FORMAT, "x": Bomb(crater)}, file, _use_new_zipfile_serialization=not old)
    path = tmp_path / "last.pt"
    path.write_bytes(sealed(file.getvalue()))
    with pytest.raises(Unsound, match="could run code; not loaded"):
        read(path)
    with pytest.raises(Unsound):
        made(tmp_path).restore()
    assert not crater.exists()
    torch.load(path, weights_only=False)
    assert crater.exists()


def test_a_plain_pickle_bomb_is_refused(tmp_path: Path) -> None:
    (tmp_path / "last.pt").write_bytes(sealed(pickle.dumps(Bomb(tmp_path / "crater"), protocol=2)))
    with pytest.raises(Unsound):
        read(tmp_path / "last.pt")
    assert not (tmp_path / "crater").exists()


class TestRestore:
    """The newest sound state, and what is said of those that are not."""

    def test_the_one_before_is_kept(self, tmp_path: Path) -> None:
        kept = kept_two(tmp_path)
        assert (read(kept.previous)["step"], read(kept.last)["step"]) == (1, 2)
        fresh = made(tmp_path, 9.0)
        assert (fresh.restore(), weight(fresh), fresh.saved_step) == (2, 2.0, 2)

    def test_nothing_was_ever_written(self, tmp_path: Path) -> None:
        assert made(tmp_path / "none").restore() is None
        assert not (tmp_path / "none").exists()

    def test_a_damaged_file_is_said_set_aside_and_the_one_before_taken(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        damage(kept_two(tmp_path).last)
        damaged = (tmp_path / "last.pt").read_bytes()
        fresh = made(tmp_path, 9.0)
        with caplog.at_level(logging.WARNING):
            assert (fresh.restore(), weight(fresh)) == (1, 1.0)
        first, second = [record.message for record in caplog.records if record.levelno == logging.WARNING]
        assert first == f"{tmp_path / 'last.pt'} is damaged: it is not what was written"
        assert second == f"last.pt was set aside; going on from {tmp_path / 'previous.pt'}, step 1"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["last.pt.damaged", "previous.pt"]
        assert (tmp_path / "last.pt.damaged").read_bytes() == damaged
        fresh.save(5)  # the good one stays until there are two again
        assert (read(fresh.previous)["step"], read(fresh.last)["step"]) == (1, 5)

    def test_a_damaged_one_before_does_not_matter(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        damage(kept_two(tmp_path).previous)
        assert made(tmp_path).restore() == 2
        assert caplog.text == ""

    @pytest.mark.parametrize("names", [["last.pt", "previous.pt"], ["last.pt"], ["previous.pt"]])
    def test_when_none_is_sound_nothing_is_changed(self, tmp_path: Path, names: list[str]) -> None:
        kept_two(tmp_path)
        for path in tmp_path.iterdir():
            damage(path) if path.name in names else path.unlink()
        (tmp_path / ".last.pt.4711").write_bytes(b"half of it")
        before = tree(tmp_path)
        fresh = made(tmp_path, 9.0)
        with pytest.raises(Unsound, match=f"no checkpoint of .* is sound: {', '.join(names)}"):
            fresh.restore()
        assert (tree(tmp_path), weight(fresh)) == (before, 9.0)

    def test_killed_between_the_two_renames(self, tmp_path: Path) -> None:
        kept = kept_two(tmp_path)
        kept.last.rename(tmp_path / ".last.pt.4711")
        fresh = made(tmp_path)
        assert (fresh.restore(), weight(fresh)) == (1, 1.0)
        assert [path.name for path in tmp_path.iterdir()] == ["previous.pt"]

    @pytest.mark.parametrize("saved", [False, True])
    def test_what_a_killed_process_left_half_written_is_taken_away(self, tmp_path: Path, saved: bool) -> None:
        if saved:
            made(tmp_path).save(1)
        for name in (".last.pt.4711", ".best_loss.pt.4711"):
            (tmp_path / name).write_bytes(b"half of it")
        (tmp_path / "mine.txt").write_text("stays")
        made(tmp_path).restore()
        assert sorted(path.name for path in tmp_path.iterdir()) == [*(["last.pt"] if saved else []), "mine.txt"]

    def test_a_damaged_best_file_is_said(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        kept = made(tmp_path)
        kept.save(1)
        kept.save_best(1, {"valid/loss": 0.5})
        made(tmp_path).restore()
        assert caplog.text == ""
        damage(tmp_path / "best_loss.pt")
        made(tmp_path).restore()
        assert "best_loss.pt is damaged: it is not what was written; it is written again when" in caplog.text

    def test_a_checkpoint_of_another_run_is_refused(self, tmp_path: Path) -> None:
        made(tmp_path).save(1)
        other = FolderCheckpoints(tmp_path, {"task": nn.Linear(1, 1), "state": State(), "update/model": State()})
        with pytest.raises(ValueError, match=r"belongs to another run: update/model do not match"):
            other.restore()

    def test_a_checkpoint_of_another_configuration_is_refused_by_its_keys(self, tmp_path: Path) -> None:
        kept_two(tmp_path, identity={"seed": 0, "optimizer.lr": 0.1, "model.depth": 3})
        before = tree(tmp_path)
        other = made(tmp_path, 9.0, identity={"seed": 0, "optimizer.lr": 0.2, "loss": "mse"})
        with pytest.raises(ValueError, match="belongs to another configuration") as caught:
            other.restore()
        told = "optimizer.lr: 0.1 there, 0.2 here; model.depth: 3 there, absent here; loss: absent there, mse here"
        assert str(caught.value).endswith(told)
        assert (tree(tmp_path), weight(other), other.saved_step) == (before, 9.0, None)

    def test_an_absent_key_is_not_one_without_a_value(self) -> None:
        assert different_identity({"a": None}, {"a": None}) == []
        assert different_identity({"a": None}, {}) == ["a: None there, absent here"]


class _Full(io.BytesIO):
    """A file on a device that has room for ``bytes_left``."""

    def __init__(self, bytes_left: int, error: BaseException) -> None:
        super().__init__()
        self.bytes_left = bytes_left
        self.error = error

    def write(self, data: Any) -> int:
        self.bytes_left -= len(data)
        if self.bytes_left < 0:
            raise self.error
        return super().write(data)

    def fileno(self) -> int:
        return os.open(os.devnull, os.O_RDONLY)


class _Shelf(type(Path())):  # type: ignore[misc]
    """A path at which files are opened that fill up."""

    bytes_left = 0
    error: BaseException = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def open(self, mode: str = "r", **_: Any) -> Any:
        if mode != "wb":
            return super().open(mode)
        Path(self).touch()
        return _Full(self.bytes_left, self.error)


WHOLE = 2000  # bytes, about what the files here have


class TestFailedWrites:
    """A disk that fills up, at any byte: the good files stay, and the error says what there is to go on from."""

    @pytest.mark.parametrize("bytes_left", [0, 10, 500, 900, WHOLE - 500, WHOLE])
    def test_no_space_left(self, tmp_path: Path, bytes_left: int, monkeypatch: pytest.MonkeyPatch) -> None:
        kept_two(tmp_path)
        before = tree(tmp_path)
        assert all(len(content) > WHOLE for content in before.values())
        monkeypatch.setattr(_Shelf, "bytes_left", bytes_left)
        shelf = made(_Shelf(tmp_path))
        shelf.restore()
        with pytest.raises(NotSaved, match=r"last\.pt could not be written at step 3: No space left on d") as caught:
            shelf.save(3)
        assert str(caught.value).endswith(f"; the last good state is {tmp_path / 'last.pt'}, of step 2")
        assert (tree(tmp_path), shelf.saved_step) == (before, 2)
        with pytest.raises(NotSaved, match=r"best_loss\.pt could not be written at step 3"):
            shelf.save_best(3, {"valid/loss": 0.1})
        assert tree(tmp_path) == before

    @pytest.mark.parametrize("bytes_left", [0, 500, 900, WHOLE])
    @pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
    def test_an_impatient_user_is_heard_while_a_file_is_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bytes_left: int, error: type[BaseException]
    ) -> None:
        """torch says that the file is too short, which is true, and no help."""
        kept_two(tmp_path)
        before = tree(tmp_path)
        monkeypatch.setattr(_Shelf, "bytes_left", bytes_left)
        monkeypatch.setattr(_Shelf, "error", error())
        with pytest.raises(error):
            made(_Shelf(tmp_path)).save(3)
        assert tree(tmp_path) == before

    def test_no_checkpoint_was_written_before(self, tmp_path: Path) -> None:
        with pytest.raises(NotSaved, match=r"no checkpoint was written before$"):
            made(_Shelf(tmp_path)).save(3)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("size", [0, 1, 1000, 64 * 1024, 300_000])
    def test_a_file_that_may_not_grow(self, tmp_path: Path, size: int) -> None:
        """The system's own limit, with torch's and Python's buffers in between."""
        task = nn.Linear(300, 300)
        kept = FolderCheckpoints(tmp_path, {"task": task, "state": State()})
        kept.save(1)
        before = tree(tmp_path)
        with file_size_limit(size), pytest.raises(NotSaved, match="could not be written at step 2: File too large"):
            kept.save(2)
        assert tree(tmp_path) == before
        kept.save(2)
        assert (read(kept.previous)["step"], read(kept.last)["step"]) == (1, 2)

    def test_a_folder_that_is_none(self, tmp_path: Path) -> None:
        (tmp_path / "checkpoints").write_text("")
        with pytest.raises(NotSaved, match=r"last\.pt could not be written at step 1"):
            made(tmp_path / "checkpoints").save(1)


@contextlib.contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """This process can write no file beyond ``size`` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_write_whole_makes_the_folder(tmp_path: Path) -> None:
    write_whole(tmp_path / "a" / "b" / "x.pt", {"format": checkpoint.FORMAT})
    assert read(tmp_path / "a" / "b" / "x.pt") == {"format": checkpoint.FORMAT}


KILLED = """
import os, signal, sys
from pathlib import Path
from torch import nn
from runner.checkpoint import FolderCheckpoints
kept = FolderCheckpoints(Path(sys.argv[1]), {"task": nn.Linear(200, 200)})
step = 0
while True:
    step += 1
    kept.save(step)
    if step == 3:
        print("ready", flush=True)
"""


@pytest.mark.slow
def test_killed_while_it_writes_over_and_over(tmp_path: Path) -> None:
    """SIGKILL at three random instants in a process that does nothing but save: there is always a sound file."""
    draws = random.Random(1)
    for number in range(3):
        folder = tmp_path / str(number)
        writer = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        try:
            writer.wait(draws.uniform(0.01, 0.1))
        except subprocess.TimeoutExpired:
            writer.kill()
        writer.wait()
        writer.stdout.close()
        step = FolderCheckpoints(folder, {"task": nn.Linear(200, 200)}).restore()
        assert step is not None
        assert step >= 2
        assert {path.name for path in folder.iterdir()} <= {"last.pt", "previous.pt"}
