"""Detection by configuration: the recipe, boxes from COCO's files, and what is said of things that do not fit."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from hydra import compose
from omegaconf import DictConfig
from PIL import Image
from together import together
from torch import Tensor

from runner.data.sources import ShapesBoxes
from runner.metrics import Metrics, mean_average_precision
from runner.preflight import Job, check
from runner.ranks import Ranked
from runner.run import run

pytestmark = pytest.mark.usefixtures("shipped")

SMALL = ("dataset.train_size=8", "dataset.valid_size=4", "dataset.test_size=4", "dataset.image_size=32")
TINY = ("model.backbone=resnet18", "model.strides=[8]", "model.width=8")
SHORT = ("trainer.steps=2", "trainer.batch_size=4", "trainer.workers=0")


def composed(*overrides: str) -> DictConfig:
    return compose("config", overrides=list(overrides))


def trained(cfg: DictConfig, folder: Path) -> dict[str, float]:
    assert check([Job("job", cfg, folder)]).lines() == []
    return run(cfg, folder, name="job")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("augmentation=shift", *TINY), "the data are images with boxes; set augmentation=none"),
        (("model=lenet",), "needs a model that finds boxes, got LeNet; set model=fasterrcnn_mobilenet or retinanet"),
        (("loss=mse", *TINY), "got loss MSELoss; set loss=detector"),
        (("loss.weights.classification=2", *TINY), "the detector's losses are loss_objectness, loss_rpn_box_reg"),
        (("metrics=[accuracy]", *TINY), "metrics.accuracy: measures nothing that Detection gives"),
        (("+trainer.best.map_60=max", *TINY), "is not measured; there are: loss, loss_box_reg, loss_classifier"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_starts(
    tmp_path: Path, overrides: tuple[str, ...], said: str
) -> None:
    cfg = composed("task=detection", *SMALL, *SHORT, *overrides)
    assert said in "\n".join(check([Job("job", cfg, tmp_path / "run")]).lines())


@pytest.mark.slow
def test_it_is_no_loss_for_other_tasks(tmp_path: Path) -> None:
    cfg = composed("model=mlp", "loss=detector", *SHORT)
    assert "it is for task=detection" in "\n".join(check([Job("job", cfg, tmp_path / "run")]).lines())


@pytest.mark.slow
def test_boxes_of_cocos_files_are_trained_on(tmp_path: Path) -> None:
    """Its losses are in the files by name, and pictures are drawn."""
    splits = ShapesBoxes(image_size=32, train_size=20, valid_size=4, test_size=4).load()
    root = tmp_path / "photos"
    entries: list[dict[str, Any]] = []
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


def trained_together(ranks: Ranked) -> tuple[dict[str, float], dict[str, Tensor], dict[str, float]]:
    """What two ranks measure after training, their weights, and what they say of a box each, of which one is right."""
    made = tiny.session("detection", ranks=ranks, metrics=Metrics({"map": mean_average_precision()}, ranks=ranks))
    made.train()
    metrics = Metrics({"map": mean_average_precision()}, ranks=ranks)
    found = torch.tensor([[[1.0, 1, 5, 5, 0.9, 1 + ranks.rank]]])
    metrics.update(found, torch.tensor([[[1.0, 1, 5, 5, 1]]]))
    return made.evaluate("valid", 14), made.task.state_dict(), metrics.compute()


@pytest.mark.slow
def test_two_ranks_train_and_measure_together(tmp_path: Path) -> None:
    (scores, weights, known), (same_scores, same_weights, _) = together(trained_together, folder=tmp_path)
    assert scores == same_scores
    assert tiny.differing_leaves(dict(weights), dict(same_weights)) == []
    fresh = tiny.session("detection").task.state_dict()
    assert tiny.differing_leaves(dict(weights), dict(fresh))  # they were trained
    assert known["map_50"] == pytest.approx(51 / 101)  # precision 1 up to recall 0.5, at 101 places


@pytest.mark.slow
def test_the_recipe_learns_to_find_shapes(tmp_path: Path) -> None:
    """One shape on each of a few smaller images; what the whole recipe reaches stands in its first lines."""
    fewer = ("dataset.train_size=200", "dataset.valid_size=10", "dataset.test_size=60", "dataset.max_boxes=1")
    smaller = ("dataset.image_size=32", "model.strides=[4]", "model.width=32", "model.anchor_scales=[2.5]")
    sooner = ("trainer.batch_size=4", "optimizer.lr=2e-3", "logger=[]")
    scores = trained(composed("experiment=shapes_detection", *fewer, *smaller, *sooner), tmp_path)
    assert scores["test/map_50"] >= 0.2
