"""The recipes of autoencoders on real MNIST, shortened: each against what cannot be had without learning."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from runner.config.conf_dir import conf_dir
from runner.config.schema import register
from runner.preflight import Job, check
from runner.run import run


def scores_of(folder: Path, real_data: Path, experiment: str, *overrides: str) -> dict[str, float]:
    register()
    given = [f"experiment={experiment}", f"dataset.root={real_data}", "trainer.threads=1", *overrides]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("config", overrides=given)
    assert check([Job("job", cfg, folder)]).lines() == []
    return run(cfg, folder, name="job")


@pytest.mark.slow
def test_mnist_is_drawn_by_a_vae(tmp_path: Path, real_data: Path) -> None:
    """The bound of an independent Bernoulli distribution for each pixel, which knows no code, is -206."""
    scores = scores_of(tmp_path, real_data, "mnist_vae", "trainer.epochs=0.4", "logger=[images]")
    assert -190 < scores["test/elbo"] == pytest.approx(-scores["test/reconstruction"] - scores["test/kl"])
    assert scores["test/kl"] > 5
    assert list((tmp_path / "images").glob("generated_*.png"))


@pytest.mark.slow
def test_mnist_is_classified_by_an_aae_from_few_labels(tmp_path: Path, real_data: Path) -> None:
    """After a fifth of the recipe; guessing gives 0.1, and so do codes whose adversaries have won."""
    scores = scores_of(tmp_path, real_data, "mnist_aae", "trainer.epochs=0.3", "logger=[]")
    assert scores["test/accuracy"] > 0.5
    assert 0.1 < scores["test/code_score"] < 0.5 < scores["test/prior_score"] < 0.9


@pytest.mark.slow
def test_novel_digits_are_told_from_those_trained_on(tmp_path: Path, real_data: Path) -> None:
    scores = scores_of(tmp_path, real_data, "mnist_novelty", "trainer.epochs=0.4", "logger=[novelty]")
    assert scores["test/roc_auc"] > 0.65
    assert scores["test/average_precision"] > 0.3  # guessing gives 0.206
    assert (tmp_path / "images" / "novelty_roc.png").exists()


@pytest.mark.slow
def test_principal_components_are_fitted_and_left_as_they_are(tmp_path: Path, real_data: Path) -> None:
    scores = scores_of(tmp_path, real_data, "mnist_pca", "logger=[]")
    assert scores["test/mse"] == pytest.approx(0.0091, abs=0.0005)
