"""Recorded weights as other programs read them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from trajectory.paths import STEPS, recorded

from runner.trajectory import Trajectory, export


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_csv_has_a_thousand_values_a_line(dtype: str, tmp_path: Path) -> None:
    run, out = Trajectory(recorded(tmp_path / "run", dtype=dtype)), tmp_path / "out"
    files = export.to_csv(run, out)
    assert {file.relative_to(out).as_posix() for file in files} == {
        *("layer0/part0000.csv", "layer1/part0000.csv", "layer1/part0001.csv", "layers.csv", "steps.csv")
    }
    parts = [np.loadtxt(out / "layer1" / f"part000{part}.csv", delimiter=",", dtype=np.float32) for part in (0, 1)]
    assert [part.shape for part in parts] == [(len(STEPS), 1000), (len(STEPS), 240)]
    whole = run.matrix("head").float().numpy()
    assert np.array_equal(np.concatenate(parts, axis=1), whole)  # to the bit
    with (out / "layers.csv").open(newline="") as file:
        described = list(csv.DictReader(file))
    assert described[1] == {
        "layer": "1",
        "name": "model.head",
        "tensors": "model.head.weight model.head.bias",
        "values": "1240",
        "parts": "2",
    }
    assert (out / "steps.csv").read_text().splitlines()[:3] == ["line,step", "0,0", "1,5"]


def test_npz_has_the_tensors_by_name(tmp_path: Path) -> None:
    run = Trajectory(recorded(tmp_path / "run"))
    (file,) = export.to_npz(run, tmp_path / "out")
    with np.load(file) as found:
        assert found["steps"].tolist() == list(STEPS)
        assert found["model.conv.weight"].shape == (len(STEPS), 4, 1, 3, 3)
        assert np.array_equal(found["model.conv.weight"][3], run[15]["model.conv.weight"].numpy())


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds something already"):
        export.to_csv(Trajectory(recorded(tmp_path / "run")), tmp_path)
