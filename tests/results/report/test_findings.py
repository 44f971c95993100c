"""What runs say together: scores, which group validation prefers, paired differences, and what is wrong with them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from results.report.recorded_sweep import write_job

from runner.results.report.findings import Findings, Metric, find, scores
from runner.results.report.gather import gathered
from runner.results.report.statistics import estimate


def found(*sweeps: Path) -> Findings:
    return find(gathered(sweeps), title="sweep")


def write_group(sweep: Path, model: str, accuracies: dict[int, float], *, valid: float | None = None) -> None:
    for seed, accuracy in accuracies.items():
        write_job(sweep, model, seed, accuracy=accuracy, valid=valid)


def test_scores_of_the_test_part_and_of_validation_are_apart(tmp_path: Path) -> None:
    write_group(tmp_path, "lenet", {0: 0.5, 1: 0.75}, valid=0.875)
    findings = found(tmp_path)
    assert findings.tested == [Metric("test/accuracy", "max"), Metric("test/loss", "min")]
    assert findings.selecting == [Metric("valid/accuracy", "max")]
    (group,) = findings.groups
    assert scores(group, findings.tested[0]).values == {0: 0.5, 1: 0.75}
    assert scores(group, findings.selecting[0]).values == {0: 0.875, 1: 0.875}


def test_median_and_best_follow_the_direction(tmp_path: Path) -> None:
    write_group(tmp_path, "lenet", {0: 0.5, 1: 0.75, 2: 0.625})
    findings = found(tmp_path)
    accuracy, loss = (scores(findings.groups[0], metric) for metric in findings.tested)
    assert (accuracy.median, accuracy.best, loss.best) == (0.625, 0.75, 0.25)


@pytest.mark.parametrize(
    ("name", "direction"),
    [("accuracy", "max"), ("generator_loss", "min"), ("mse", "min"), ("f1", "max"), ("own_score_of_mine", "")],
)
def test_directions_are_known_or_said_to_be_unknown(tmp_path: Path, name: str, direction: str) -> None:
    write_job(tmp_path, metrics={f"test/{name}": 0.5}, settings={"trainer__best": {}})
    (metric,) = found(tmp_path).tested
    assert metric.direction == direction
    assert (scores(found(tmp_path).groups[0], metric).best is None) == (direction == "")


def test_the_configuration_decides_the_direction(tmp_path: Path) -> None:
    write_job(tmp_path, settings={"trainer__best": {"accuracy": "min"}})
    assert found(tmp_path).tested[0] == Metric("test/accuracy", "min")


def test_validation_prefers_a_group_and_the_test_part_has_no_say(tmp_path: Path) -> None:
    write_group(tmp_path, "lenet", {0: 0.99}, valid=0.5)
    write_group(tmp_path, "vgg16", {0: 0.01}, valid=0.6)
    preferred = found(tmp_path).preferred
    assert preferred is not None
    assert preferred.name == "vgg16"


def test_one_group_is_no_choice(tmp_path: Path) -> None:
    write_group(tmp_path, "lenet", {0: 0.9})
    assert found(tmp_path).preferred is None


def test_differences_are_paired_by_seed(tmp_path: Path) -> None:
    write_group(tmp_path, "lenet", {0: 0.1, 1: 0.2, 2: 0.4, 7: 0.9})
    write_group(tmp_path, "vgg16", {0: 0.2, 1: 0.4, 2: 0.5, 8: 0.1})
    first = found(tmp_path).differences[0]
    assert (first.left.name, first.right.name, first.metric.name) == ("lenet", "vgg16", "test/accuracy")
    assert first.estimate == estimate([0.1 - 0.2, 0.2 - 0.4, 0.4 - 0.5])
    assert not first.clear


def test_a_difference_is_clear_when_its_interval_excludes_zero(tmp_path: Path) -> None:
    write_group(tmp_path, "lenet", {0: 0.10, 1: 0.11, 2: 0.12})
    write_group(tmp_path, "vgg16", {0: 0.50, 1: 0.52, 2: 0.51})
    assert [difference.clear for difference in found(tmp_path).differences] == [True, True]


@pytest.mark.parametrize(("groups", "pairs"), [(2, 1), (4, 6), (5, 4)])
def test_few_groups_are_compared_in_all_pairs_and_many_with_the_preferred_one(
    tmp_path: Path, groups: int, pairs: int
) -> None:
    for place in range(groups):
        settings = {"optimizer__lr": float(place)}
        write_job(tmp_path, name=f"lenet__0__{place}", settings=settings, valid=0.5 + 0.1 * (place == 1))
    findings = found(tmp_path)
    accuracies = [difference for difference in findings.differences if difference.metric is findings.tested[0]]
    assert len(accuracies) == pairs
    if groups == 5:
        assert {difference.right.name for difference in accuracies} == {"lenet, lr=1.0"}


def test_a_score_that_is_no_number_is_said_and_not_averaged(tmp_path: Path) -> None:
    write_group(tmp_path, "lenet", {0: 0.5, 1: math.nan, 2: 0.7})
    findings = found(tmp_path)
    accuracy = scores(findings.groups[0], findings.tested[0])
    assert math.isnan(accuracy.estimate.mean)
    assert [accuracy.median, accuracy.best] == [pytest.approx(math.nan, nan_ok=True)] * 2
    assert findings.notes[0].startswith(
        "lenet: test/accuracy is nan with seed 1, so its mean is no number; without: 0."
    )
    assert "(n=2)" in findings.notes[0]
    assert findings.preferred is None


def test_what_did_not_complete_is_in_no_number_and_is_named(tmp_path: Path) -> None:
    write_group(tmp_path, "lenet", {0: 0.5, 1: 0.6})
    write_job(tmp_path, "lenet", 2, state="failed", reason="no memory", valid=0.99)
    findings = found(tmp_path)
    assert scores(findings.groups[0], findings.selecting[0]).estimate.n == 2
    assert [run.name for run in findings.incomplete] == ["lenet__2"]
    assert findings.summary() == "3 runs in 1 group: 2 completed, 1 failed"


def test_nothing_completed(tmp_path: Path) -> None:
    write_job(tmp_path, state="interrupted")
    findings = found(tmp_path)
    assert (findings.tested, findings.selecting, findings.preferred, findings.differences) == ([], [], None, [])
