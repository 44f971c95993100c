"""Weights along training: what is recorded, killed and resumed, and what recording changes."""

from __future__ import annotations

import errno
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor

from runner.checkpoint import FolderCheckpoints
from runner.observers import Outcome, RunInfo
from runner.plan import Plan
from runner.trajectory import Recorder, Trajectory
from runner.trajectory.place import FOLDER
from runner.trajectory.store import RECORDS, Layout, RecordFile, open_store
from runner.trajectory.writer import Writer

STEPS = 14


class Stop(Exception):
    """Ends a training in the middle of a step, as a kill does: nobody is told."""


class StopAt:
    """Stops when a step is observed, before the checkpoint of that step could be written."""

    def __init__(self, step: int) -> None:
        self.step = step

    def started(self, run: object) -> None: ...
    def logged(self, record: object) -> None: ...
    def evaluated(self, record: object) -> None: ...
    def finished(self, outcome: object) -> None: ...
    def settled(self) -> None: ...

    def stepped(self, step: int) -> None:
        if step == self.step:
            raise Stop


def trained(
    folder: Path | None, recorder: Recorder | None = None, *, stop_at: int | None = None, **settings: Any
) -> Any:
    """A whole training, or up to the middle of step ``stop_at``."""
    if folder is not None:
        folder.mkdir(exist_ok=True)
    looking = [each for each in (recorder, None if stop_at is None else StopAt(stop_at)) if each is not None]
    session = tiny.session(folder=folder, observers=looking, steps=STEPS, **settings)
    session.train()
    session.observers.finished(Outcome("completed", session.state.step, {}))
    return session


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted((folder / FOLDER).iterdir())}


def test_weights_of_every_step_are_there_by_name(tmp_path: Path) -> None:
    torch.manual_seed(0)
    initial = {name: value.detach().clone() for name, value in tiny.task_of("classification").named_parameters()}
    session = trained(tmp_path, Recorder(every_steps=5, norms_and_biases=True, buffers=True))
    found = Trajectory(tmp_path)
    assert found.steps == [0, 5, 10, 14]
    assert found[0].keys() == {*initial, "model.1.running_mean", "model.1.running_var"}
    for name, value in initial.items():
        assert torch.equal(found[0][name], value), name
    for name, value in session.task.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(found[14][name], value), name
    assert not torch.equal(found[5]["model.0.weight"], found[10]["model.0.weight"])


def test_a_step_that_training_passed_is_that_of_a_training_that_ended_there(tmp_path: Path) -> None:
    trained(tmp_path / "long", Recorder(every_steps=3))
    for step in (3, 9):
        folder = tmp_path / str(step)
        with pytest.raises(Stop):
            trained(folder, stop_at=step + 1)
        saved = torch.load(folder / "last.pt", weights_only=True)["parts"]["task"]
        assert torch.equal(Trajectory(tmp_path / "long")[step]["model.0.weight"], saved["model.0.weight"])


@pytest.mark.parametrize(("stop_at", "format"), [(1, "records"), (5, "records"), (14, "records"), (8, "safetensors")])
def test_killed_and_resumed_is_uninterrupted_to_the_byte(stop_at: int, format: str, tmp_path: Path) -> None:
    def recorder() -> Recorder:
        return Recorder(every_steps=2, dtype="fp16", format=format)

    trained(tmp_path / "whole", recorder())
    with pytest.raises(Stop):
        trained(tmp_path / "cut", recorder(), stop_at=stop_at)
    trained(tmp_path / "cut", recorder())
    assert content(tmp_path / "cut") == content(tmp_path / "whole")


def test_half_a_record_is_cut(tmp_path: Path) -> None:
    trained(tmp_path / "whole", Recorder(every_steps=2))
    with pytest.raises(Stop):
        trained(tmp_path / "cut", Recorder(every_steps=2), stop_at=5)
    with (tmp_path / "cut" / FOLDER / RECORDS).open("ab") as file:
        file.write(b"half of a record")
    trained(tmp_path / "cut", Recorder(every_steps=2))
    assert content(tmp_path / "cut") == content(tmp_path / "whole")


def written_at_checkpoints(folder: Path, monkeypatch: pytest.MonkeyPatch, *, settles: bool) -> dict[int, list[int]]:
    """Which steps were recorded when the checkpoint of a step was written, while writing is slow."""
    written: list[int] = []
    found: dict[int, list[int]] = {}
    append = RecordFile.append

    def slow(self: RecordFile, step: int, flat: Tensor) -> None:
        time.sleep(0.02)
        append(self, step, flat)
        written.append(step)

    monkeypatch.setattr(RecordFile, "append", slow)
    session = tiny.session(folder=folder, observers=[Recorder(every_steps=1)], steps=3)
    checkpoints = session.checkpoints
    assert isinstance(checkpoints, FolderCheckpoints)
    write = checkpoints._write

    def seen(path: Path, step: int, content: Callable[[], None]) -> None:
        found[step] = list(written)
        write(path, step, content)

    monkeypatch.setattr(checkpoints, "_write", seen)
    if not settles:
        checkpoints.settle = lambda: None
    session.train()
    session.observers.finished(Outcome("completed", 3, {}))
    assert written == [0, 1, 2, 3]
    return found


def test_a_checkpoint_waits_for_the_records_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert written_at_checkpoints(tmp_path, monkeypatch, settles=True) == {3: [0, 1, 2, 3]}


def test_which_it_would_overtake_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert written_at_checkpoints(tmp_path, monkeypatch, settles=False) != {3: [0, 1, 2, 3]}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_observed_is_unobserved_to_the_bit(precision: str, tmp_path: Path) -> None:
    seen = trained(tmp_path, Recorder(every_steps=1, buffers=True), precision=precision)
    assert tiny.differing(seen, trained(None, precision=precision)) == []


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_the_dtype_is_that_of_the_file(dtype: str, tmp_path: Path) -> None:
    trained(tmp_path / "fp32", Recorder(every_steps=7))
    trained(tmp_path / dtype, Recorder(every_steps=7, dtype=dtype))
    full, short = (Trajectory(tmp_path / name)[7]["model.0.weight"] for name in ("fp32", dtype))
    assert short.dtype == {"fp16": torch.float16, "bf16": torch.bfloat16}[dtype]
    assert torch.equal(short, full.to(short.dtype))


def test_numbers_that_fp16_does_not_hold_are_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    layout = Layout({"weight": (2,)}, "fp16")
    writer = Writer(open_store(tmp_path, layout, last_step=0), layout, torch.device("cpu"))
    for step, value in enumerate((65504.0, 65536.0, 1e9)):
        writer.write(step, {"weight": torch.tensor([1.0, value])})
    writer.close()
    (said,) = caplog.messages
    assert said.startswith("the weights of step 1 go beyond 65504, and are inf in fp16; trajectory.dtype=bf16")


def test_a_training_that_a_rule_ends_has_its_last_weights(tmp_path: Path) -> None:
    session = tiny.session(folder=tmp_path, observers=[Recorder(every_steps=100)], steps=6)
    session.train()
    session.observers.finished(Outcome("completed", 6, {}, "early"))
    assert Trajectory(tmp_path).steps == [0, 6]


def test_an_interrupted_training_has_no_weights_out_of_turn(tmp_path: Path) -> None:
    session = tiny.session(folder=tmp_path, observers=[Recorder(every_steps=4)], steps=6)
    session.train()
    session.observers.finished(Outcome("interrupted", 6, {}))
    assert Trajectory(tmp_path).steps == [0, 4]


@pytest.mark.parametrize("at", [0, 2, 14])
def test_a_failed_write_fails_the_run(at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append = RecordFile.append

    def full(self: RecordFile, step: int, flat: Tensor) -> None:
        if step == at:
            raise OSError(errno.ENOSPC, "No space left on device", str(self.path))
        append(self, step, flat)

    monkeypatch.setattr(RecordFile, "append", full)
    with pytest.raises(OSError, match="No space left"):
        trained(tmp_path, Recorder(every_steps=2))
    assert all(step < at for step in Trajectory(tmp_path).steps) if at else True


def test_memory_is_bounded_by_two_snapshots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    empty = torch.empty

    def counted(*size: Any, **options: Any) -> Tensor:
        made.append(1)
        return empty(*size, **options)

    recorder = Recorder(every_steps=1)
    session = tiny.session(folder=None, steps=14)
    run = RunInfo("r", tmp_path, session.task, session.plan, 0)
    monkeypatch.setattr("runner.trajectory.writer.torch.empty", counted)
    recorder.started(run)
    for step in range(1, 15):
        recorder.stepped(step)
    recorder.finished(Outcome("completed", 14, {}))
    assert len(made) == 2
    assert Trajectory(tmp_path).steps == list(range(15))


def test_lost_weights_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Stop):
        trained(tmp_path, Recorder(every_steps=2), stop_at=8)
    (tmp_path / FOLDER / RECORDS).unlink()
    trained(tmp_path, Recorder(every_steps=2))
    assert "lacks the weights of 4 steps, the first is 0" in caplog.text
    assert Trajectory(tmp_path).steps == [8, 10, 12, 14]


def test_a_folder_of_other_tensors_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Stop):
        trained(tmp_path, Recorder(every_steps=2), stop_at=8)
    with pytest.raises(ValueError, match="describes other tensors than this run records"):
        trained(tmp_path, Recorder(every_steps=2, dtype="bf16"))


def test_settings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="dtype must be one of fp32, fp16, bf16, got fp8"):
        Recorder(every_steps=1, dtype="fp8")
    with pytest.raises(ValueError, match="format must be one of records, safetensors"):
        Recorder(every_steps=1, format="csv")


def test_the_extent_is_what_is_written(tmp_path: Path) -> None:
    recorder = Recorder(every_steps=4, dtype="fp16")
    plan = Plan.of(steps_per_epoch=5, steps=STEPS)
    extent = recorder.extent(tiny.task_of("classification"), plan)
    trained(tmp_path, recorder)
    assert (extent.tensors, extent.values, extent.snapshots) == (2, 4 * 9 + 64 * 3, 5)
    assert (tmp_path / FOLDER / RECORDS).stat().st_size == extent.bytes
    assert extent.line() == "trajectory: 2 tensors, 228 values, 5 snapshots in fp16: 0.00 MiB"
    assert math.isclose(extent.bytes, 5 * (8 + 2 * 228))


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_a_gpu_that_runs_ahead_is_recorded_at_its_steps(dtype: str, tmp_path: Path) -> None:
    """Each step adds one to all weights while those of the steps before are still being copied."""
    from runner.tasks import Classification

    model = torch.nn.Linear(2048, 2048, bias=False, device="cuda")
    task, recorder = Classification(model, torch.nn.CrossEntropyLoss()), Recorder(every_steps=1, dtype=dtype)
    with torch.no_grad():
        model.weight.zero_()
    recorder.started(RunInfo("r", tmp_path, task, Plan.of(steps_per_epoch=10, steps=30), 0))
    for step in range(1, 31):
        with torch.no_grad():
            model.weight.add_(1.0)
        recorder.stepped(step)
    recorder.finished(Outcome("completed", 30, {}))
    found = Trajectory(tmp_path)
    assert [sorted(set(found[step]["weight"].flatten().tolist())) for step in found] == [[float(s)] for s in range(31)]
