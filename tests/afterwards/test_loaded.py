"""Models of finished runs, without their data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from cli.finished import CLASSIFIER, train
from PIL import Image

from runner import load_run
from runner.config import build
from runner.data.source import BoxSpec, MaskSpec, PairSpec, SequenceSpec, Spec
from runner.data.spec_record import recorded, restored

SPECS = [
    Spec(1, 28, 28, 10),
    MaskSpec(1, (8, 16, 16), 3, ignore_index=-100),
    PairSpec(1, 3, 8, 8),
    BoxSpec(3, 64, 64, 4, max_boxes=5),
    SequenceSpec(10, 12, 7, 9),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("loaded") / "run", CLASSIFIER)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
def test_a_shape_is_kept_whole(spec: Any) -> None:
    assert restored(json.loads(json.dumps(recorded(spec)))) == spec


def test_shapes_of_others_are_not_kept() -> None:
    class Sound(Spec):
        kind = "sounds"

    assert recorded(Sound(1, 2, 3, 4)) is None
    assert restored(None) is None


@pytest.mark.slow
def test_the_model_gives_what_the_evaluation_saw(run: Path) -> None:
    loaded = load_run(run)
    assert not loaded.model.training
    assert loaded.config.model.hidden == [4]
    splits = build.load_splits(loaded.config)
    assert loaded.spec == splits.spec
    assert loaded.spec.num_classes == 3
    images = torch.stack([splits.test[number][0] for number in range(12)])
    labels = torch.stack([splits.test[number][1] for number in range(12)])
    accuracy = (loaded(images).argmax(1) == labels).double().mean().item()
    assert accuracy == json.loads((run / "manifest.json").read_text())["metrics"]["test/accuracy"]


@pytest.mark.parametrize(
    ("images", "got"),
    [
        (torch.zeros(2, 3, 8, 9, dtype=torch.uint8), r"uint8 \(2, 3, 8, 9\)"),
        (torch.zeros(2, 1, 8, 8, dtype=torch.int64), r"int64 \(2, 1, 8, 8\)"),
    ],
)
def test_images_that_it_does_not_take_are_told_beside_those_that_it_does(
    run: Path, images: torch.Tensor, got: str
) -> None:
    with pytest.raises(ValueError, match=rf"^MLP takes images uint8 \(B, 1, 8, 8\), got {got}: "):
        load_run(run)(images)


def test_an_error_of_the_model_itself_stays_what_it_is(run: Path) -> None:
    loaded = load_run(run)
    loaded.task.model = torch.nn.Linear(3, 3)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        loaded(torch.zeros(2, 1, 8, 8, dtype=torch.uint8))


def test_random_states_are_left_alone(run: Path) -> None:
    before = torch.get_rng_state()
    load_run(run)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_run_of_before_shapes_were_kept_is_told_by_its_data(run: Path, tmp_path: Path) -> None:
    old = shutil.copytree(run, tmp_path / "old")
    manifest = json.loads((old / "manifest.json").read_text())
    for key in ("spec", "class_names"):
        del manifest["data"][key]
    (old / "manifest.json").write_text(json.dumps(manifest))
    config = old / ".hydra/config.yaml"
    config.write_text(config.read_text().replace("init_from: null\n", ""))
    images = torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8)
    assert torch.equal(load_run(old)(images), load_run(run)(images))


def test_what_is_no_run_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is neither a run nor an archive"):
        load_run(tmp_path)
    torch.save({"model.layers.1.weight": torch.zeros(3, 3)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"checkpoint=.*other\.pt: fits no weight of the model"):
        load_run(run, checkpoint=str(tmp_path / "other.pt"))


@pytest.mark.slow
def test_the_data_may_be_gone(tmp_path: Path) -> None:
    images = tmp_path / "images"
    for name in ("cat", "dog"):
        (images / name).mkdir(parents=True)
        for number in range(8):
            Image.new("L", (9, 9), number * 20).save(images / name / f"{number}.png")
    settings = ["dataset=image_folder", f"dataset.root={images}", "dataset.image_size=8", "dataset.channels=1"]
    others = [word for word in CLASSIFIER if not word.startswith("dataset")]
    run = train(tmp_path / "run", [*settings, *others, "trainer.batch_size=4"])
    shutil.rmtree(images)
    loaded = load_run(run)
    assert loaded.class_names == ("cat", "dog")
    assert loaded(torch.zeros(2, 1, 8, 8, dtype=torch.uint8)).shape == (2, 2)
