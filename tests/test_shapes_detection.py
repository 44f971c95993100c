"""Detection by configuration: the recipe, boxes from COCO's files, and what is said of things that do not fit."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from PIL import Image
from together import together
from torch import Tensor

from runner.config.conf_dir import conf_dir
from runner.config.schema import register
from runner.data.sources import ShapesBoxes
from runner.metrics import Metrics, mean_average_precision
from runner.preflight import Job, check
from runner.ranks import Ranked
from runner.run import run

SMALL = ("dataset.train_size=8", "dataset.valid_size=4", "dataset.test_size=4", "dataset.image_size=32")
TINY = ("model.backbone=resnet18", "model.strides=[8]", "model.width=8")
SHORT = ("trainer.steps=2", "trainer.batch_size=4", "trainer.workers=0")


@pytest.fixture(scope="module", autouse=True)
def shipped() -> Iterator[None]:
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        yield


def composed(*overrides: str) -> DictConfig:
    return compose("config", overrides=list(overrides))


def trained(cfg: DictConfig, folder: Path) -> dict[str, float]:
    assert check([Job("job", cfg, folder)]).lines() == []
    return run(cfg, folder, name="job")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("augmentation=shift",), "CropFlip changes images, but the data are images with boxes; set augmentation=none"),
        (("model=lenet",), "needs a model that finds boxes, got LeNet; set model=fasterrcnn_mobilenet or retinanet"),
        (("loss=mse", *TINY), "got loss MSELoss; set loss=detector"),
        (("loss.weights={loss_mask: 1.0}", *TINY), "the detector's losses are loss_objectness, loss_rpn_box_reg"),
        (("metrics=[accuracy]", *TINY), "metrics.accuracy: measures nothing that Detection gives"),
        (("+trainer.best.map_60=max", *TINY), "is not measured; there are: loss, loss_box_reg, loss_classifier"),
        (("task=classification", "model=mlp", "loss=detector", "metrics=[accuracy]"), "it is for task=detection"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_starts(
    tmp_path: Path, overrides: tuple[str, ...], said: str
) -> None:
    task = "dataset=shapes_boxes" if "task=classification" in overrides else "task=detection"
    more = ("augmentation=none",) if "task=classification" in overrides else ()
    cfg = composed(task, *SMALL, *SHORT, *more, *overrides)
    assert said in "\n".join(check([Job("job", cfg, tmp_path / "run")]).lines())


def test_what_fits_passes(tmp_path: Path) -> None:
    cfg = composed("task=detection", *SMALL, *SHORT, *TINY, "metrics.map.class_metrics=true", "trainer.micro_batches=2")
    assert check([Job("job", cfg, tmp_path / "run")]).lines() == []


@pytest.mark.slow
def test_boxes_of_cocos_files_are_trained_on(tmp_path: Path) -> None:
    """Its losses are in the files by name, and pictures are drawn."""
    splits = ShapesBoxes(image_size=32, train_size=20, valid_size=4, test_size=4).load()
    root, entries = tmp_path / "photos", []
    (root / "annotations").mkdir(parents=True)
    (root / "train").mkdir()
    for number in range(20):
        image, boxes, labels = splits.train[number]
        Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).numpy())).save(root / "train" / f"{number}.png")
        for (left, top, right, bottom), label in zip(boxes.tolist(), labels.tolist(), strict=True):
            if label:
                box = [left, top, right - left, bottom - top]
                entries.append({"id": len(entries), "image_id": number, "category_id": label, "bbox": box})
    images = [{"id": n, "file_name": f"{n}.png", "width": 32, "height": 32} for n in range(20)]
    categories = [{"id": n, "name": name} for n, name in enumerate(splits.class_names, 1)]
    content = {"images": images, "annotations": entries, "categories": categories}
    (root / "annotations" / "train.json").write_text(json.dumps(content))
    data = ("dataset=coco_boxes", f"dataset.root={root}", "dataset.image_size=32", "metrics.map.class_metrics=true")
    (folder := tmp_path / "run").mkdir()
    scores = trained(composed("task=detection", *data, *SHORT, *TINY, "logger=[csv,images,tensorboard]"), folder)
    assert {"test/loss", "test/loss_box_reg", "test/map", "test/map_50", "test/map_75", "test/map_disc"} < set(scores)
    with (folder / "history.csv").open() as file:
        assert {"train/loss", "train/loss_classifier", "valid/map_50"} < set(next(csv.reader(file)))
    assert {path.name.split("_step")[0] for path in (folder / "images").iterdir()} == {"boxes", "detected"}


def trained_together(ranks: Ranked) -> tuple[dict[str, float], dict[str, Tensor]]:
    """What two ranks measure, and their weights."""
    made = tiny.session("detection", ranks=ranks, metrics=Metrics({"map": mean_average_precision()}, ranks=ranks))
    made.train()
    return made.evaluate("valid", 14), made.task.state_dict()


@pytest.mark.slow
def test_two_ranks_measure_what_one_does(tmp_path: Path) -> None:
    """Seven validation samples, of which one rank has four; the weights are the same on both."""
    (scores, weights), (same_scores, same_weights) = together(trained_together, folder=tmp_path)
    assert scores == same_scores
    assert tiny.differing_leaves(dict(weights), dict(same_weights)) == []
    alone = tiny.session("detection", metrics=Metrics({"map": mean_average_precision()}))
    alone.task.load_state_dict(weights)
    names = ("valid/map", "valid/map_50", "valid/map_75")  # which boxes a loss is of is drawn
    assert [alone.evaluate("valid", 14)[name] for name in names] == pytest.approx([scores[name] for name in names])
    assert scores["valid/map_50"] > 0


@pytest.mark.slow
def test_the_recipe_learns_to_find_shapes(tmp_path: Path) -> None:
    """A part of it; what the whole one reaches stands in its first lines."""
    smaller = ("dataset.train_size=400", "dataset.valid_size=20", "dataset.test_size=50", "trainer.epochs=3")
    scores = trained(composed("experiment=shapes_detection", *smaller, "logger=[]"), tmp_path)
    assert scores["test/map_50"] >= 0.4
