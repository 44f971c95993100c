"""Scores along the straight line between two sets of weights."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from runner.config.conf_dir import conf_dir
from runner.config.schema import register
from runner.results.trajectories.line import End, barrier, scores_along
from runner.run import run

SMALL = ["dataset=synthetic", "dataset.train_size=16", "dataset.valid_size=8", "dataset.test_size=8", "trainer.steps=4"]
OTHERS = ["trainer.batch_size=4", "logger=[csv]", "model=mlp", "model.hidden=[8]", "trajectory=steps"]
EVERY = ["trajectory.every_steps=2", "optimizer.lr=0.05"]


def trained(folder: Path, *overrides: str) -> tuple[DictConfig, Path]:
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("config", overrides=[*SMALL, *OTHERS, *EVERY, *overrides])
    folder.mkdir()
    run(cfg, folder, name=folder.name)
    return cfg, folder


@pytest.mark.slow
def test_the_ends_are_the_runs_own_scores_to_the_bit(tmp_path: Path) -> None:
    cfg, one = trained(tmp_path / "one", "trajectory.norms_and_biases=true")
    _, other = trained(tmp_path / "other", "seed=1")
    found = scores_along(cfg, End.of(str(one)), End.of(str(other)), points=3, part="valid")
    assert found["at"] == [0.0, 0.5, 1.0]
    for place, folder in ((0, one), (-1, other)):
        with (folder / "history.csv").open(newline="") as file:
            last = list(csv.DictReader(file))[-1]
        assert found["valid/loss"][place] == float(last["valid/loss"])
    path = scores_along(cfg, End.of(f"{one}@0"), End.of(f"{one}@4"), points=3, part="valid")
    assert path["valid/loss"][-1] == found["valid/loss"][0]
    assert path["valid/loss"][0] != path["valid/loss"][-1]


@pytest.mark.slow
def test_weights_that_were_not_recorded_are_told(tmp_path: Path) -> None:
    cfg, folder = trained(tmp_path / "one")
    with pytest.raises(ValueError, match=r"one@2 lacks 2 tensors .*trajectory.norms_and_biases=true"):
        scores_along(cfg, End.of(f"{folder}@2"), End.of(str(folder)), points=3, part="valid")
    with pytest.raises(ValueError, match="no weights of step 3; the nearest is"):
        scores_along(cfg, End.of(f"{folder}@3"), End.of(str(folder)), points=3, part="valid")


def test_an_end_is_a_run_or_a_step_of_it(tmp_path: Path) -> None:
    assert End.of("runs/a@390") == End(Path("runs/a"), 390)
    (tmp_path / "odd@7").mkdir()
    assert End.of(str(tmp_path / "odd@7")) == End(tmp_path / "odd@7")
    with pytest.raises(ValueError, match="with a number for the step"):
        End.of("runs/a@last")


def test_a_barrier_is_the_height_above_the_straight_line() -> None:
    assert barrier({"at": [0.0, 0.5, 1.0], "loss": [1.0, 5.0, 3.0]}, "loss") == 3.0
    assert barrier({"at": [0.0, 0.5, 1.0], "loss": [1.0, 1.0, 3.0]}, "loss") == 0.0
