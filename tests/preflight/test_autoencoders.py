"""What does not fit an autoencoder is said before work starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from runner.config.conf_dir import conf_dir
from runner.config.schema import register
from runner.preflight import Job, check

SMALL = ["dataset=synthetic", "dataset.train_size=20", "dataset.valid_size=10", "dataset.test_size=10"]


def lines(folder: Path, *overrides: str) -> str:
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("config", overrides=[*SMALL, "trainer.batch_size=4", "logger=[]", *overrides])
    return "\n".join(check([Job("job", cfg, folder)]).lines())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["task=reconstruction", "loss=bce"], "set dataset.mean=[0.0] dataset.std=[1.0]"),
        (["task=vae", "dataset.mean=[0.5]", "dataset.std=[0.5]"], "these lie in [-1.00, 1.00]"),
        (["task=vae", "model=cae"], "set model=vae"),
        (["task=reconstruction", "loss=ssim", "dataset.height=8"], "set loss.window=7"),
        (["task=novelty"], "set dataset.novel_classes=[2,7]"),
        (["task=novelty", "dataset.novel_classes=[12]"], "must list classes between 0 and 9"),
        (
            ["task=novelty", "dataset.novel_classes=[2]", "+trainer.best.roc_auc=max"],
            "trainer.best.roc_auc=max: is not measured; there are: loss",
        ),
        (["model=mlp", "metrics=[accuracy,roc_auc]"], "set task=novelty, or leave it out of metrics"),
        (["task=aae", "model=cae"], "set model=aae"),
        (["task=reconstruction", "model=pca", "model.latent_dim=5000"], "the values of an image, got 5000"),
    ],
)
def test_what_does_not_fit_is_said_with_its_remedy(tmp_path: Path, overrides: list[str], said: str) -> None:
    assert said in lines(tmp_path, *overrides)


@pytest.mark.slow
def test_what_fits_passes(tmp_path: Path) -> None:
    assert lines(tmp_path, "task=aae", "model.channels=[4]", "model.categorical=true") == ""
