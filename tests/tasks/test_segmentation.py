"""Segmentation: what it minimises and measures, what does not fit it, and its pictures."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from runner.losses import BinaryCrossEntropy, CrossEntropy, Dice, WeightedSum
from runner.metrics import Metrics, iou
from runner.tasks import Segmentation
from runner.tasks.overlays import errors, overlay, palette

MASKS = torch.tensor([[[0, 1], [2, -100]], [[2, 2], [0, 1]]])
IMAGES = torch.linspace(-1, 1, 8).view(2, 1, 2, 2)


class Knows(nn.Module):
    """Logits that are certain of ``classes``."""

    def __init__(self, classes: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(20.0 * nn.functional.one_hot(classes, 3).movedim(-1, 1))

    def forward(self, images: Tensor) -> Tensor:  # noqa: ARG002
        return self.logits


RIGHT = MASKS.clamp(min=0)


def test_logits_go_to_the_loss_and_pixels_that_do_not_count_to_nothing() -> None:
    task = Segmentation(Knows(RIGHT), CrossEntropy(), ignore_index=-100)
    ((name, loss),) = task.losses((IMAGES, MASKS))
    assert name == "model"
    assert isinstance(loss, Tensor)
    assert loss < 1e-6
    metrics = Metrics({"iou": iou(num_classes=3, ignore_index=-100)})
    task.scores((IMAGES, MASKS), metrics)
    assert metrics.compute() == pytest.approx({"loss": 0, "iou": 1, "iou_0": 1, "iou_1": 1, "iou_2": 1}, abs=1e-6)


def test_terms_are_measured_by_name() -> None:
    task = Segmentation(Knows(RIGHT), WeightedSum({"bce": BinaryCrossEntropy(), "dice": Dice()}))
    metrics = Metrics({})
    task.scores((IMAGES, RIGHT), metrics)
    found = metrics.compute()
    assert list(found) == ["loss", "bce_loss", "dice_loss"]
    assert found["loss"] == pytest.approx(found["bce_loss"] + found["dice_loss"])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="compares images, but task=segmentation"):
        Segmentation(Knows(RIGHT), nn.MSELoss())
    for loss in (
        CrossEntropy(ignore_index=-1),
        WeightedSum({"bce": BinaryCrossEntropy(), "dice": Dice(ignore_index=0)}),
    ):
        with pytest.raises(ValueError, match=r"set loss\.ignore_index=-100"):
            Segmentation(Knows(RIGHT), loss, ignore_index=-100)
        Segmentation(Knows(RIGHT), loss)
    with pytest.raises(ValueError, match=r"got \(2, 1, 2, 2\), \(2,\); set dataset=shapes_masks"):
        next(Segmentation(Knows(RIGHT), Dice()).losses((IMAGES, torch.zeros(2))))


def test_pictures_are_colours_over_grey() -> None:
    grey = torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]])
    classes = torch.tensor([[[0, 0], [1, -100]]])
    shown = overlay(grey, classes)
    colour = palette(2)[1]
    assert shown.dtype == torch.uint8
    assert shown[0, :, 0, 0].tolist() == [0, 0, 0]
    assert shown[0, :, 0, 1].tolist() == [255, 255, 255]
    assert shown[0, :, 1, 0].tolist() == (0.6 * colour.double()).round().tolist()
    assert shown[0, :, 1, 1].tolist() == [255, 255, 255]
    missed = errors(grey, torch.tensor([[[1, 0], [1, 1]]]), classes)
    assert missed[0, :, 0, 0].tolist() == [153, 0, 0]
    assert missed[0, :, 1, 0].tolist() == [0, 0, 0]


def test_colours_of_classes_differ_and_stay() -> None:
    many = palette(40)
    assert len({tuple(colour) for colour in many.tolist()}) == 40
    assert not many[0].any()
    assert torch.equal(palette(3), many[:3])


def test_of_volumes_the_middle_slice_is_shown() -> None:
    masks = torch.zeros(1, 5, 2, 2, dtype=torch.int64)
    masks[:, 2] = torch.tensor([[0, 1], [2, 0]])
    volumes = torch.arange(20.0).view(1, 1, 5, 2, 2)
    pictures = Segmentation(Knows(masks), Dice()).pictures((volumes, masks))
    assert list(pictures) == ["input", "mask", "prediction", "error"]
    assert torch.equal(pictures["input"], volumes[:, :, 2])
    assert torch.equal(pictures["mask"], overlay(volumes[:, :, 2], masks[:, 2]))
    assert torch.equal(pictures["prediction"], pictures["mask"])
    assert pictures["error"].shape == (1, 3, 2, 2)
