"""Sweeps as one experiment: frozen, checked, gone on with, told about."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from cli.terminal import SMALL, Terminal

SWEEP = ["hydra.sweep.dir=sweep", "-m"]
CTRL_C = ["+logger.mine._target_=cli.user_code.PressesCtrlC", "trainer.log_every_steps=1"]


def states(terminal: Terminal) -> dict[str, str]:
    folders = sorted(file.parent for file in (terminal.folder / "sweep").glob("*/status.json"))
    return {folder.name: terminal.status(f"sweep/{folder.name}")["state"] for folder in folders}


def times(terminal: Terminal) -> dict[str, int]:
    """When each job's checkpoint was written."""
    files = sorted((terminal.folder / "sweep").glob("*/checkpoints/last.pt"))
    return {file.parents[1].name: file.stat().st_mtime_ns for file in files}


def test_every_job_is_frozen_before_the_first(terminal: Terminal) -> None:
    terminal.trains("seed=0,1", *SWEEP)
    content = json.loads((terminal.folder / "sweep/sweep.json").read_text())
    assert [job["name"] for job in content["jobs"]] == ["mlp__0", "mlp__1"]
    for job in content["jobs"]:
        manifest = terminal.manifest(f"sweep/{job['name']}")
        assert (manifest["config"], manifest["config_digest"]) == (job["config"], job["config_digest"])
    assert content["code"]["modules_sha256"]


@pytest.mark.slow
def test_a_job_of_a_sweep_is_what_its_command_alone_is(terminal: Terminal) -> None:
    terminal.trains("seed=0,1", "dataset.seed=${seed}", *SWEEP)
    terminal.trains("seed=1", "dataset.seed=${seed}", "hydra.run.dir=alone")
    one, other = terminal.manifest("sweep/mlp__1"), terminal.manifest("alone")
    for key in ("config", "config_digest", "weights_sha256", "metrics"):
        assert one[key] == other[key]
    texts = [(terminal.folder / run / ".hydra/config.yaml").read_text() for run in ("sweep/mlp__1", "alone")]
    assert texts[0] == texts[1]


@pytest.mark.slow
def test_the_same_command_again_has_nothing_to_do(terminal: Terminal) -> None:
    terminal.trains("seed=0,1", *SWEEP)
    before = times(terminal)
    assert "2 of 2 runs completed, 2 of them before" in terminal.trains("seed=0,1", *SWEEP).out
    assert times(terminal) == before


@pytest.mark.slow
def test_more_seeds_run_alone(terminal: Terminal) -> None:
    terminal.trains("seed=0,1", *SWEEP)
    before = times(terminal)
    assert "3 of 3 runs completed, 2 of them before" in terminal.trains("seed=0,1,2", *SWEEP).out
    assert {name: time for name, time in times(terminal).items() if name in before} == before
    content = json.loads((terminal.folder / "sweep/sweep.json").read_text())
    assert [job["name"] for job in content["jobs"]] == ["mlp__0", "mlp__1", "mlp__2"]


@pytest.mark.slow
def test_another_configuration_in_the_same_folder_is_refused(terminal: Terminal) -> None:
    terminal.trains("seed=0,1", *SWEEP)
    left = terminal.left()
    answer = terminal.runs("seed=0,1", "optimizer.lr=0.5", *SWEEP)
    assert answer.status == 2
    told = [row["what is wrong"] for row in answer.table]
    assert told == ["holds a run with another configuration: optimizer.lr: 0.001 there, 0.5 here"] * 2
    assert terminal.left() == left


@pytest.mark.slow
def test_an_interrupted_sweep_goes_on_and_ends_in_the_same_bits(terminal: Terminal) -> None:
    given = ["seed=0,1", "trainer.steps=4"]
    terminal.trains(*given, "hydra.sweep.dir=whole", "-m")
    answer = terminal.runs(*given, *CTRL_C, "+logger.mine.step=3", *SWEEP)
    assert answer.status == 130
    assert "python -m runner resume sweep" in answer.err
    assert states(terminal) == {"mlp__0": "interrupted"}
    # The observer that interrupts is part of what was frozen: the jobs go on without it.
    content = json.loads((terminal.folder / "sweep/sweep.json").read_text())
    for job in content["jobs"]:
        job["config"]["logger"] = {}
        job["config_digest"] = "" if job["name"] == "mlp__1" else job["config_digest"]
    (terminal.folder / "sweep/sweep.json").write_text(json.dumps(content))
    assert "2 of 2 runs completed" in terminal.runs("resume", "sweep", small=False).out
    for name in ("mlp__0", "mlp__1"):
        one, other = terminal.manifest(f"sweep/{name}"), terminal.manifest(f"whole/{name}")
        assert one["weights_sha256"] == other["weights_sha256"]


@pytest.mark.slow
def test_frozen_jobs_do_not_heed_what_the_configuration_has_become(terminal: Terminal, tmp_path: Path) -> None:
    conf = tmp_path / "own"
    (conf / "model").mkdir(parents=True)
    (conf / "model" / "ours.yaml").write_text("_target_: runner.models.MLP\nhidden: [4]\ndropout: 0.5\n")
    own = ["--config-dir", str(conf), "model=ours"]
    terminal.runs("seed=0,1", *own, *CTRL_C, "+logger.mine.step=1", *SWEEP)
    (conf / "model" / "ours.yaml").write_text("_target_: runner.models.MLP\nhidden: [4]\ndropout: 0.0\n")
    for _ in range(2):  # interrupted once more, in job 1
        terminal.runs("resume", "sweep", "--config-dir", str(conf), small=False)
    for name in ("ours__0", "ours__1"):
        assert terminal.manifest(f"sweep/{name}")["config"]["model"]["dropout"] == 0.5


@pytest.mark.slow
def test_the_report_is_written_when_it_is_asked_for(terminal: Terminal) -> None:
    terminal.trains("seed=0,1", *SWEEP, "hydra.sweeper.report=false")
    assert not (terminal.folder / "sweep/report.csv").exists()
    terminal.trains("seed=0,1,2", *SWEEP, "hydra.sweeper.report=true")
    assert len((terminal.folder / "sweep/report.runs.csv").read_text().splitlines()) == 4


@pytest.mark.slow
def test_a_sweep_takes_no_other_settings_when_it_goes_on(terminal: Terminal) -> None:
    terminal.trains("seed=0,1", *SWEEP)
    answer = terminal.runs("resume", "sweep", "trainer.epochs=9", small=False)
    assert answer.status == 2
    assert "trainer.epochs=9: the jobs of a sweep are as they were frozen" in answer.err


class TestCheck:
    @pytest.mark.slow
    def test_what_is_right(self, terminal: Terminal) -> None:
        answer = terminal.runs("check", "seed=0,1", "-m", small=False)
        assert (answer.status, terminal.left()) == (0, [])
        assert "2 of 2 jobs would run: lenet__0, lenet__1\ntask=classification goes with" in answer.out
        answer = terminal.runs("check", "hydra.run.dir=run", small=False)
        assert (answer.status, answer.out.splitlines()[:2], terminal.left()) == (
            0,
            ["ready: run", "task=classification goes with"],
            [],
        )

    @pytest.mark.slow
    def test_what_would_fit_instead(self, terminal: Terminal) -> None:
        answer = terminal.runs("check", "task=segmentation", "dataset=digits", small=False)
        assert (answer.status, terminal.left()) == (2, [])
        assert "Segmentation learns from images with masks, but the data are images" in answer.err
        assert "dataset=mask_folder, several, shapes_masks" in answer.out
        answer = terminal.runs("check", "task=nothing", small=False)
        assert (answer.status, answer.out) == (2, "")

    @pytest.mark.slow
    def test_what_is_wrong_of_all_jobs_at_once(self, terminal: Terminal) -> None:
        wrong = ["model.hidden=[4],[0],[-1]", "optimizer.lr=0.1,-1", "seed=0,1", *SWEEP]
        answer = terminal.runs("check", "model=mlp", *wrong, small=False)
        assert (answer.status, terminal.left()) == (2, [])
        assert len(answer.table) >= 3
        assert all("mlp__" in row["jobs"] for row in answer.table)

    @pytest.mark.slow
    def test_a_disk_that_holds_one_run_but_not_two(self, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
        one_run_bytes = 9 * 4 * (64 * 4 + 4 + 4 * 10 + 10)
        monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(total=one_run_bytes, free=one_run_bytes))
        assert terminal.runs("check", *SMALL, "seed=0", *SWEEP, small=False).status == 0
        answer = terminal.runs("check", *SMALL, "seed=0,1", *SWEEP, small=False)
        assert answer.status == 2
        (row,) = answer.table
        assert (row["key"], row["value"]) == ("hydra.sweep.dir", "sweep")
        assert row["what is wrong"].startswith("has 0.0 GiB free")

    @pytest.mark.slow
    def test_what_is_left_to_do(self, terminal: Terminal) -> None:
        terminal.trains("seed=0,1", *SWEEP)
        answer = terminal.runs("check", *SMALL, "seed=0,1,2", *SWEEP, small=False)
        assert "1 of 3 jobs would run: mlp__2" in answer.out


class TestStatus:
    def test_each_job_has_a_line(self, terminal: Terminal) -> None:
        terminal.runs("seed=0,1", *CTRL_C, "+logger.mine.step=2", "trainer.steps=4", *SWEEP)
        answer = terminal.runs("status", "sweep", small=False)
        assert answer.status == 1
        assert [line.split()[:2] for line in answer.out.splitlines()] == [
            ["mlp__0", "interrupted"],
            ["mlp__1", "missing"],
            ["2", "jobs:"],
        ]

    @pytest.mark.slow
    def test_a_completed_one_shows_its_scores(self, terminal: Terminal) -> None:
        terminal.trains("seed=0", *SWEEP)
        answer = terminal.runs("status", "sweep", small=False)
        assert answer.status == 0
        assert "epoch 1/1  test/loss" in answer.out

    @pytest.mark.parametrize("arguments", [[], ["nowhere"], ["a", "b"]])
    def test_no_sweep(self, terminal: Terminal, arguments: list[str]) -> None:
        answer = terminal.runs("status", *arguments, small=False)
        assert answer.status == 2
        assert "status" in answer.err
