"""The tables of recorded weights."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from trajectory.paths import STEPS, recorded, weights

from runner.results.trajectories.study import ALL, Study
from runner.trajectory.place import FOLDER
from runner.trajectory.store import RECORDS


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def flat(step: int, seed: int, *names: str) -> torch.Tensor:
    return torch.cat([weights(step, seed)[f"model.{name}"].flatten() for name in names]).double()


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study.of([recorded(tmp_path / f"net__{seed}", seed=seed) for seed in (0, 1)])


def test_layers_have_their_names_and_all_weights_come_first(study: Study) -> None:
    assert list(study.geometries) == [ALL, "conv", "head"]
    assert study.runs == ["net__0", "net__1"]
    assert list(study.steps) == list(STEPS)


def test_tables_say_what_the_weights_did(study: Study, tmp_path: Path) -> None:
    names = [file.name for file in study.write(tmp_path)]
    assert names == ["pca.csv", "kernel_pca.csv", "motion.csv", "windows.csv", "pca_from_start.csv", "seeds.csv"]
    moved = {(row["layer"], row["run"], int(row["step"])): row for row in rows(tmp_path / "motion.csv")}
    row = moved["head", "net__1", 10]
    here, before, after = (flat(step, 1, "head.weight", "head.bias") for step in (10, 5, 15))
    assert float(row["norm"]) == pytest.approx(float(here.norm()))
    assert float(row["distance_from_start"]) == pytest.approx(
        float((here - flat(0, 1, "head.weight", "head.bias")).norm())
    )
    assert float(row["step_length"]) == pytest.approx(float((after - here).norm()))
    cosine = torch.cosine_similarity(after - here, here - before, dim=0)
    assert float(row["cosine"]) == pytest.approx(float(cosine))
    assert moved["head", "net__1", 0]["cosine"] == ""
    apart = {(row["layer"], int(row["step"])): float(row["distance"]) for row in rows(tmp_path / "seeds.csv")}
    assert apart["conv", 20] == pytest.approx(float((flat(20, 0, "conv.weight") - flat(20, 1, "conv.weight")).norm()))
    assert len(rows(tmp_path / "pca.csv")) == 3 * 2 * len(STEPS)


def test_from_the_start_seeds_share_one_place(study: Study) -> None:
    paths = study.pca_from_start["head"].coordinates
    torch.testing.assert_close(paths[0], paths[len(STEPS)])
    assert float((study.pca["head"].coordinates[0] - study.pca["head"].coordinates[len(STEPS)]).norm()) > 1.0


def test_a_path_in_one_plane_stays_in_one_subspace(study: Study, tmp_path: Path) -> None:
    study.write(tmp_path)
    found = [row for row in rows(tmp_path / "windows.csv") if (row["layer"], row["run"]) == ("head", "net__1")]
    ends = [(0, 10), (15, 25), (30, 40), (45, 55)]
    assert [(int(row["first_step"]), int(row["last_step"])) for row in found[::4]] == ends
    assert len(found) == 16
    assert all(float(row["subspace_distance"]) < 1e-3 for row in found)


def test_a_pattern_chooses_layers_and_common_steps_count(tmp_path: Path) -> None:
    runs = [recorded(tmp_path / "a"), recorded(tmp_path / "b", seed=1, steps=range(0, 60, 10))]
    study = Study.of(runs, pattern="re:^conv")
    assert (list(study.geometries), list(study.steps)) == (["conv"], [0, 10, 20, 30, 40, 50])


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_refused(broken: float, tmp_path: Path) -> None:
    """One would make a nan of all numbers of its layer."""
    runs = [recorded(tmp_path / name) for name in "ab"]
    file = runs[1] / FOLDER / RECORDS
    records = np.fromfile(file, dtype="<f4").reshape(len(STEPS), -1)
    records[3, 5] = broken
    records.tofile(file)
    with pytest.raises(ValueError, match=r"b: model.conv is not finite at step 15"):
        Study.of(runs)
    assert list(Study.of(runs, pattern="head").geometries) == ["head"]


def test_too_few_snapshots_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="three snapshots at least, got 2"):
        Study.of([recorded(tmp_path / "a", steps=[0, 5])])
    with pytest.raises(ValueError, match="three snapshots at least that all runs have, got 2"):
        Study.of([tmp_path / "a", recorded(tmp_path / "b")])
