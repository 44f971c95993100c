"""Learning curves: means over seeds, at the steps that most of them evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from results.report.recorded_sweep import write_job

from runner.results.report.curves import Curves, curves
from runner.results.report.findings import find
from runner.results.report.gather import gathered
from runner.results.report.statistics import estimate


def drawn(*sweeps: Path) -> Curves:
    return curves(find(gathered(sweeps), title="sweep"))


def write_curves(sweep: Path, by_seed: Mapping[int, Sequence[float]]) -> None:
    for seed, curve in by_seed.items():
        write_job(sweep, "lenet", seed, curve=curve)


def test_the_mean_and_its_interval_at_each_evaluation(tmp_path: Path) -> None:
    write_curves(tmp_path, {0: [0.5, 0.75], 1: [0.25, 0.5], 2: [0.0, 0.25]})
    found = drawn(tmp_path)
    assert (found.unit, list(found.by_metric)) == ("epoch", ["valid/accuracy", "train/loss"])
    (curve,) = found.by_metric["valid/accuracy"]
    assert (curve.group.name, curve.n, curve.at) == ("lenet", 3, [1, 2])
    assert curve.estimates == [estimate([0.5, 0.25, 0.0]), estimate([0.75, 0.5, 0.25])]


def test_a_step_that_few_reached_is_left_out(tmp_path: Path) -> None:
    write_curves(tmp_path, {0: [0.1, 0.2, 0.3], 1: [0.1, 0.2], 2: [0.1]})
    (curve,) = drawn(tmp_path).by_metric["valid/accuracy"]
    assert (curve.n, curve.at, [found.n for found in curve.estimates]) == (3, [1, 2], [3, 2])


def test_runs_that_did_not_complete_are_in_no_curve(tmp_path: Path) -> None:
    write_curves(tmp_path, {0: [0.5]})
    write_job(tmp_path, "lenet", 1, state="failed", curve=[0.9])
    (curve,) = drawn(tmp_path).by_metric["valid/accuracy"]
    assert (curve.n, curve.estimates[0].mean) == (1, 0.5)


def test_steps_where_an_epoch_is_not_known(tmp_path: Path) -> None:
    write_curves(tmp_path, {0: [0.5, 0.6]})
    write_job(tmp_path, "lenet", 1, curve=[0.5, 0.6], settings={"optimizer__lr": 1.0})
    manifest = tmp_path / "lenet__1" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"steps_per_epoch": 10', '"steps_per_epoch": null'))
    found = drawn(tmp_path)
    assert (found.unit, found.by_metric["valid/accuracy"][0].at) == ("step", [10, 20])


def test_damaged_records_are_said(tmp_path: Path) -> None:
    write_curves(tmp_path, {0: [0.5]})
    (tmp_path / "lenet__0" / "digests.jsonl").write_text("{}\n")
    found = drawn(tmp_path)
    assert found.by_metric == {}
    assert found.notes[0].startswith(f"{tmp_path.name}/lenet__0 is in no picture: ")
    assert "line 1 is not the record of an evaluation" in found.notes[0]


@pytest.mark.parametrize("curve", [[], [0.5]])
def test_few_evaluations(tmp_path: Path, curve: list[float]) -> None:
    write_curves(tmp_path, {0: curve})
    assert len(drawn(tmp_path).by_metric) == 2 * len(curve)
