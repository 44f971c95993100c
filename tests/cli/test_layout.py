"""``layout=by_dataset``: numbered folders by data set and model."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest
from cli.terminal import SMALL, Terminal
from omegaconf import OmegaConf

from runner import preflight
from runner.sweep import conduct

FIRST = "logs/synthetic/mlp/version_1"


def test_runs_are_numbered(terminal: Terminal) -> None:
    """The option in any case; a run goes on in the folder that it has, and is not overwritten."""
    terminal.trains("layout=By_Dataset")
    assert terminal.manifest(FIRST)["status"] == "completed"
    saved = OmegaConf.load(terminal.folder / FIRST / ".hydra/hydra.yaml")
    assert saved.hydra.run.dir == FIRST
    assert saved.hydra.runtime.output_dir == str(terminal.folder / FIRST)
    assert "extends it" in terminal.trains("resume", FIRST, small=False).out
    terminal.trains("resume", FIRST, "trainer.steps=3", small=False)
    assert terminal.status(FIRST)["step"] == 3
    again = terminal.trains("--config-path", f"{FIRST}/.hydra", "layout=by_dataset", "trainer.steps=2", small=False)
    assert "results: logs/synthetic/mlp/version_2" in again.out
    assert not (terminal.folder / "outputs").exists()


@pytest.mark.slow
def test_looking_makes_no_folder(terminal: Terminal) -> None:
    """Nor do refusals: a number is claimed when all checks have passed."""
    assert f"ready: {FIRST}" in terminal.trains("check", *SMALL, "layout=by_dataset", small=False).out
    sweep = terminal.trains("check", *SMALL, "layout=by_dataset", "seed=0,1", "-m", small=False).out
    assert "logs/sweeps/version_1: 2 of 2 jobs would run: mlp__0, mlp__1" in sweep
    assert "version_" not in terminal.trains("layout=by_dataset", "--cfg", "job").out
    assert terminal.runs("layout=by_dataset", "trainer.steps=0").status == 2
    (message,) = terminal.runs("layout=by_datset").messages
    assert "did you mean by_dataset?" in message
    assert terminal.left() == []


@pytest.mark.slow
def test_a_number_that_goes_while_a_run_is_checked(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another run takes it and completes: this one is not refused, and gets the next."""
    terminal.trains("layout=by_dataset")
    others, away = terminal.folder / FIRST, terminal.folder / "away"
    others.rename(away)
    check = preflight.check

    def check_late(jobs: Sequence[preflight.Job]) -> preflight.Findings:
        away.rename(others)
        return check(jobs)

    monkeypatch.setattr(preflight, "check", check_late)
    terminal.trains("layout=by_dataset")
    assert terminal.status("logs/synthetic/mlp/version_2")["state"] == "completed"


@pytest.mark.slow
def test_a_number_that_goes_while_a_sweep_is_checked(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep of the same names with other settings takes it."""
    terminal.trains("layout=by_dataset", "seed=0,1", "optimizer.lr=0.2", "-m")
    others, away = terminal.folder / "logs/sweeps/version_1", terminal.folder / "away"
    others.rename(away)
    plan = conduct.planned

    def planned_late(*args: Any, **settings: Any) -> list[conduct.Planned]:
        if away.exists():
            away.rename(others)
        return plan(*args, **settings)

    monkeypatch.setattr(conduct, "planned", planned_late)
    assert "2 of 2 runs completed" in terminal.trains("layout=by_dataset", "seed=0,1", "-m").out
    assert terminal.status("logs/sweeps/version_2/mlp__1")["state"] == "completed"


@pytest.mark.slow
def test_a_sweep_is_numbered_and_its_jobs_are_named(terminal: Terminal) -> None:
    terminal.trains("layout=by_dataset", "seed=0,1", "-m")
    assert terminal.status("logs/sweeps/version_1/mlp__1")["state"] == "completed"
    given = ["layout=by_dataset", "seed=0,1,2", "-m", "hydra.sweep.dir=logs/sweeps/version_1"]
    assert "3 of 3 runs completed, 2 of them before" in terminal.trains(*given).out
    assert [path.name for path in (terminal.folder / "logs").iterdir()] == ["sweeps"]
    assert [path.name for path in (terminal.folder / "logs/sweeps").iterdir()] == ["version_1"]


@pytest.mark.slow
def test_a_rerun_and_a_search_follow_it(terminal: Terminal) -> None:
    pytest.importorskip("optuna")
    terminal.trains("layout=by_dataset")
    rerun = terminal.runs("reproduce", FIRST, "layout=by_dataset", small=False)
    assert (rerun.status, "IDENTICAL" in rerun.out) == (0, True)
    assert (terminal.folder / "logs/synthetic/mlp/version_2/reproduction.txt").is_file()
    search = ["optimizer.lr=interval(1e-3,1e-1)", "trainer.best.loss=min", "hydra/sweeper=optuna"]
    settings = ["hydra.sweeper.n_trials=1", "hydra.sweeper.report=false", "-m"]
    assert terminal.runs("layout=by_dataset", *search, *settings).status == 0
    assert (terminal.folder / "logs/sweeps/version_1/optuna.json").is_file()


@pytest.mark.slow
def test_two_commands_at_once_have_folders_of_their_own(terminal: Terminal) -> None:
    command = [sys.executable, "-m", "runner", *SMALL, "layout=by_dataset"]
    started = [subprocess.Popen(command, cwd=terminal.folder, env=dict(os.environ)) for _ in range(2)]
    assert [process.wait(timeout=120) for process in started] == [0, 0]
    runs = terminal.folder / "logs/synthetic/mlp"
    assert sorted(path.name for path in runs.iterdir()) == ["version_1", "version_2"]
    assert {terminal.status(f"logs/synthetic/mlp/{name}")["state"] for name in ("version_1", "version_2")} == {
        "completed"
    }
