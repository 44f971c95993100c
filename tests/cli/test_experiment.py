"""``experiment``: several finished runs on the same test data."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from cli.finished import CLASSIFIER, train
from cli.terminal import Terminal

from runner.results.manifest import read_json


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("experiment")
    return {
        "mlp__0": train(folder / "mlp__0", CLASSIFIER),
        "mlp__1": train(folder / "mlp__1", [*CLASSIFIER, "seed=1"]),
    }


def scores(out: str) -> dict[str, dict[str, float]]:
    """Of each run by metric."""
    found: dict[str, dict[str, float]] = {}
    with Path(out, "scores.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["run"], {})[row["metric"]] = float(row["value"])
    return found


@pytest.mark.slow
def test_runs_and_archives_stand_beside_each_other(terminal: Terminal, runs: dict[str, Path]) -> None:
    """The archive has a name of its own in the table; scores are those that the runs measured."""
    pytest.importorskip("safetensors")
    assert terminal.runs("archive", str(runs["mlp__1"]), small=False).status == 0
    (archive,) = Path("archive/synthetic").iterdir()
    answer = terminal.runs("experiment", str(runs["mlp__0"]), str(archive), small=False)
    assert (answer.status, answer.err) == (0, ""), answer.err
    found = scores("experiment")
    assert found["mlp__0"] == read_json(runs["mlp__0"] / "manifest.json")["metrics"]
    assert found[archive.name] == read_json(runs["mlp__1"] / "manifest.json")["metrics"]
    lines = answer.out.splitlines()
    assert lines[0].split() == ["run", "model", "seed", "checkpoint", "test/loss", "test/accuracy"]
    assert lines[2].split()[:4] == [archive.name, "mlp", "1", "last"]
    for name in ("mlp__0", archive.name):
        assert Path("experiment/pictures", name, "test_confusion_matrix.png").is_file()
    assert "| mlp__0 | mlp | 0 | last |" in Path("experiment/scores.md").read_text()
    assert Path("experiment/classes.csv").read_text().count("\n") == 1 + 2 * 3
    report = Path("experiment/report/report.md").read_text()
    assert "| mlp " in report  # one group of two seeds, whatever the folders are called
    assert "archived" not in report.partition("## Scores")[2].partition("##")[0]


@pytest.mark.slow
def test_test_data_that_differ_are_refused_unless_all_are_scored_on_others(
    terminal: Terminal, runs: dict[str, Path]
) -> None:
    other = train(runs["mlp__0"].parent / "other", [*CLASSIFIER, "dataset.seed=5"])
    both = [str(runs["mlp__0"]), str(other)]
    answer = terminal.runs("experiment", *both, small=False)
    assert (answer.status, terminal.left()) == (2, [])
    assert "the test data are not the same" in answer.err
    assert terminal.runs("experiment", *both, "dataset.seed=9", "--out=here", small=False).status == 0
    own = read_json(runs["mlp__0"] / "manifest.json")["metrics"]
    assert scores("here")["mlp__0"] != own
    again = terminal.runs("experiment", *both, "dataset.seed=9", "--out=here", small=False)
    assert (again.status, again.messages[0][:10]) == (2, "--out=here")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "takes two archives or more, got none"),
        (["mlp__0"], "takes two archives or more, got mlp__0"),
        (["mlp__0", "./mlp__0"], "takes two archives or more, got mlp__0, ./mlp__0"),
        (["mlp__0", "nowhere"], "is not the folder of a run"),
        (["mlp__0", "mlp__1", "checkpoint=worst"], "has no such checkpoint"),
    ],
)
def test_what_makes_no_sense_is_refused(
    terminal: Terminal, runs: dict[str, Path], arguments: list[str], told: str
) -> None:
    for name, run in runs.items():
        Path(name).symlink_to(run)
    left = terminal.left()
    answer = terminal.runs("experiment", *arguments, small=False)
    assert (answer.status, terminal.left()) == (2, left)
    assert told in answer.err
