"""Recorded weights read back."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from runner.observers import Outcome
from runner.trajectory import Recorder, Trajectory, stacked
from runner.trajectory.place import FOLDER, INDEX
from runner.trajectory.store import RECORDS, Layout, open_store


def recorded(
    folder: Path, *, seed: int = 0, every_steps: int = 2, format: str = "records", dtype: str = "fp32"
) -> Path:
    folder.mkdir()
    recorder = Recorder(every_steps=every_steps, norms_and_biases=True, format=format, dtype=dtype)
    task = tiny.task_of("classification", seed)
    session = tiny.session(folder=folder, observers=[recorder], steps=6, seed=seed, task=task)
    session.train()
    session.observers.finished(Outcome("completed", 6, {}))
    return folder


def test_a_matrix_is_the_mapped_file(tmp_path: Path) -> None:
    found = Trajectory(recorded(tmp_path / "a"))
    whole, layer = found.matrix(), found.matrix("model.5.")
    assert whole.shape == (4, 36 + 4 + 4 + 4 + 192 + 3)
    assert torch.equal(
        layer, torch.stack([torch.cat([found[s]["5.weight"].flatten(), found[s]["5.bias"]]) for s in found])
    )
    assert layer.untyped_storage().data_ptr() == whole.untyped_storage().data_ptr()
    apart = found.matrix("weight")
    assert torch.equal(apart, torch.cat([whole[:, :36], whole[:, 40:44], whole[:, 48:240]], dim=1))
    assert found.layers["model.0"] == ["model.0.weight", "model.0.bias"]


def test_writing_to_what_was_read_leaves_the_file(tmp_path: Path) -> None:
    run = recorded(tmp_path / "a")
    before = (run / FOLDER / RECORDS).read_bytes()
    Trajectory(run).matrix().zero_()
    assert (run / FOLDER / RECORDS).read_bytes() == before


def test_numpy_reads_it_without_us(tmp_path: Path) -> None:
    run = recorded(tmp_path / "a")
    found = Trajectory(run)
    rows = np.memmap(run / FOLDER / RECORDS, dtype=[("step", "<i8"), ("weights", "<f4", found.layout.values)], mode="r")
    assert rows["step"].tolist() == [0, 2, 4, 6]
    assert np.array_equal(rows["weights"], found.matrix().numpy())


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_safetensors_hold_the_same(dtype: str, tmp_path: Path) -> None:
    one = Trajectory(recorded(tmp_path / "a", dtype=dtype))
    other = Trajectory(recorded(tmp_path / "b", format="safetensors", dtype=dtype))
    assert one.steps == other.steps
    assert torch.equal(one.matrix(), other.matrix())
    assert torch.equal(one[4]["5.weight"], other[4]["model.5.weight"])


def test_more_than_the_memory_can_be_looked_at(tmp_path: Path) -> None:
    """Of holes, which take no room on the disk: records beyond 2 GiB each, and together many times what is here."""
    layout = Layout({"model.head.weight": (600_000_000,)}, "fp32")
    store = open_store(tmp_path / FOLDER, layout, last_step=0)
    store.close()
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    steps = 2 + 2 * memory_bytes // layout.record_bytes
    with (tmp_path / FOLDER / RECORDS).open("wb") as file:
        for step in range(steps):
            file.seek(step * layout.record_bytes)
            file.write(struct.pack("<q", step))
        file.truncate(steps * layout.record_bytes)
        file.seek(-4, os.SEEK_END)
        file.write(struct.pack("<f", 3.5))
    found = Trajectory(tmp_path)
    assert found.matrix().shape == (steps, 600_000_000)
    assert found[steps - 1]["head.weight"][-2:].tolist() == [0.0, 3.5]


def test_a_damaged_snapshot_is_named(tmp_path: Path) -> None:
    layout = Layout({"weight": (2,)}, "fp32", "safetensors")
    open_store(tmp_path / FOLDER, layout, last_step=0).append(0, torch.zeros(2))
    (file,) = (tmp_path / FOLDER).glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(ValueError, match=f"{file.name} is damaged"):
        Trajectory(tmp_path)[0]


def test_safetensors_may_be_read_by_whom_the_index_may(tmp_path: Path) -> None:
    layout = Layout({"weight": (2,)}, "fp32", "safetensors")
    open_store(tmp_path, layout, last_step=0).append(0, torch.zeros(2))
    assert {oct(file.stat().st_mode) for file in tmp_path.iterdir()} == {oct((tmp_path / INDEX).stat().st_mode)}


def test_seeds_are_stacked_at_the_steps_that_they_share(tmp_path: Path) -> None:
    runs = [recorded(tmp_path / "a"), recorded(tmp_path / "b", seed=1, every_steps=3)]
    steps, weights = stacked(runs, "model.0.weight")
    assert steps == [0, 6]
    assert weights.shape == (2, 2, 36)
    assert torch.equal(weights[1, 1], Trajectory(runs[1])[6]["0.weight"].flatten())


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    run = recorded(tmp_path / "a")
    found = Trajectory(run)
    with pytest.raises(KeyError, match="no weights of step 3; the nearest is 2"):
        found[3]
    with pytest.raises(KeyError, match=r"nothing: there are model\.0\.weight"):
        found[0]["nothing"]
    with pytest.raises(ValueError, match="tail matches no recorded tensor"):
        found.matrix("tail")
    with pytest.raises(ValueError, match="record weights with trajectory=epochs"):
        Trajectory(tmp_path)
    (run / FOLDER / INDEX).write_text("{}")
    with pytest.raises(ValueError, match="is damaged"):
        Trajectory(run)


def test_records_that_are_none_are_told(tmp_path: Path) -> None:
    run = recorded(tmp_path / "a")
    file = run / FOLDER / RECORDS
    file.write_bytes(file.read_bytes()[4:] + bytes(4))
    with pytest.raises(ValueError, match="its steps do not follow each other"):
        Trajectory(run)
