"""Several data sets from a command to what the run leaves."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from runner.config import build
from runner.config.conf_dir import conf_dir
from runner.config.schema import register
from runner.preflight import Job, check
from runner.run import run

ROOT = Path(__file__).resolve().parents[1]
SETS = ["dataset=several", "+dataset@dataset.sets.near=synthetic", "+dataset@dataset.sets.far=synthetic"]
SIZES = [
    f"dataset.sets.{name}.{key}={value}"
    for name, train in (("near", 9), ("far", 6))
    for key, value in {"train_size": train, "valid_size": 4, "test_size": 2, "height": 4, "width": 4}.items()
]
SHORT = [
    "model=mlp",
    "model.hidden=[4]",
    "trainer.batch_size=4",
    "trainer.epochs=2",
    "logger=[csv]",
    "augmentation=none",
]


def composed(*overrides: str) -> DictConfig:
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose("config", overrides=list(overrides))


@pytest.mark.slow
def test_a_run_leaves_the_scores_of_each_set(tmp_path: Path) -> None:
    own = ["dataset.order=alternated", "dataset.test=[far]", "dataset.sets.far.seed=1"]
    measured = ["metrics=[accuracy,confusion_matrix]", "++trainer.best={near/accuracy: max}"]
    cfg = composed(*SETS, *SIZES, *SHORT, *own, *measured)
    assert check([Job("job", cfg, tmp_path)]).lines() == []
    scores = run(cfg, tmp_path, name="job")
    assert set(scores) == {"test/loss", "test/accuracy", "test/far/loss", "test/far/accuracy"}
    with (tmp_path / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["5", "10"]
    for name in ("loss", "accuracy"):
        near, far, mean = (float(rows[-1][f"valid/{of}{name}"]) for of in ("near/", "far/", ""))
        assert mean == pytest.approx((near + far) / 2)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["steps_per_epoch"] == 5
    assert manifest["data"]["sizes"] == {"train": 15, "valid": 8, "test": 2}
    assert manifest["data"]["order"] == "alternated"
    assert manifest["data"]["sets"]["near"]["sizes"] == {"train": 9, "valid": 4, "test": 0}
    assert list(manifest["tables"]) == ["test/far/confusion_matrix"]
    assert "valid/near/accuracy" in manifest["best"]
    assert (tmp_path / "checkpoints" / "best_near_accuracy.pt").is_file()


@pytest.mark.slow
def test_debug_keeps_samples_of_each_set() -> None:
    cfg = composed(*SETS, *SIZES, *SHORT, "debug.samples=5")
    assert build.load_splits(cfg).sets["train"] == {"far": 3, "near": 2}


@pytest.mark.slow
def test_the_recipe_of_the_docs_composes(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    recipe = re.search(
        r"^```yaml\n(# @package _global_\ndefaults:\n  - /dataset@.*?)^```$", text, re.MULTILINE | re.DOTALL
    )
    assert recipe is not None
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "both.yaml").write_text(recipe[1])
    cfg = composed("experiment=both", f"hydra.searchpath=[file://{tmp_path}]")
    assert cfg.dataset.sets.digits == {**composed("dataset=digits").dataset, "image_size": 28}
    assert cfg.dataset.sets.mnist.name == "mnist"
    assert cfg.dataset.order == "alternated"
    assert cfg.trainer.best["mnist/accuracy"] == "max"
