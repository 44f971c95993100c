"""Overlap of regions, against torchmetrics and by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from runner.metrics import Metrics, dice, iou, pixel_precision, pixel_recall

LABELS = torch.tensor([[[0, 0, 1, 1], [2, 2, 2, 1]]])
FOUND = torch.tensor([[[0, 1, 1, 1], [2, 2, 0, 0]]])


def logits_of(found: Tensor, classes: int) -> Tensor:
    return torch.nn.functional.one_hot(found, classes).movedim(-1, 1).float()


def measured(metric: Any, found: Tensor = FOUND, labels: Tensor = LABELS, *, classes: int = 3) -> dict[str, float]:
    metrics = Metrics({"it": metric})
    metrics.update(logits_of(found, classes), labels)
    return metrics.compute()


def test_by_hand() -> None:
    """Both, found alone, true alone: class 0: 1, 2, 1; class 1: 2, 1, 1; class 2: 2, 0, 1."""
    assert measured(iou(num_classes=3)) == pytest.approx(
        {"it": (1 / 4 + 2 / 4 + 2 / 3) / 3, "it_0": 1 / 4, "it_1": 2 / 4, "it_2": 2 / 3}
    )
    assert measured(dice(num_classes=3, per_class=False)) == pytest.approx({"it": (2 / 5 + 4 / 6 + 4 / 5) / 3})
    assert measured(pixel_precision(num_classes=3))["it_0"] == pytest.approx(1 / 3)
    assert measured(pixel_recall(num_classes=3))["it_0"] == pytest.approx(1 / 2)
    assert measured(iou(num_classes=3, background=False))["it"] == pytest.approx((2 / 4 + 2 / 3) / 2)


@pytest.mark.parametrize(
    ("own", "name"),
    [(iou, "JaccardIndex"), (dice, "F1Score"), (pixel_precision, "Precision"), (pixel_recall, "Recall")],
)
def test_they_are_those_of_torchmetrics(own: Any, name: str) -> None:
    from torchmetrics import classification

    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(6, 4, 5, 7, generator=generator), torch.randint(4, (6, 5, 7), generator=generator)
    labels[:, 0] = -100
    theirs = getattr(classification, f"Multiclass{name}")(4, average="none", ignore_index=-100)
    theirs.update(logits, labels)
    metrics = Metrics({"it": own(num_classes=4, ignore_index=-100)})
    for rows in (slice(0, 4), slice(4, 6)):
        metrics.update(logits[rows], labels[rows])
    found = metrics.compute()
    expected = theirs.compute().tolist()
    assert [found[f"it_{place}"] for place in range(4)] == pytest.approx(expected, abs=1e-6)
    assert found["it"] == pytest.approx(sum(expected) / 4, abs=1e-6)


def test_a_class_that_does_not_occur_is_not_in_the_mean() -> None:
    found = measured(iou(num_classes=4), classes=4)
    assert math.isnan(found["it_3"])
    assert found["it"] == pytest.approx((1 / 4 + 2 / 4 + 2 / 3) / 3)


def test_volumes_and_names() -> None:
    names = ("background", "left lung", "right lung")
    found = measured(iou(num_classes=3, class_names=names), FOUND.view(1, 2, 2, 2), LABELS.view(1, 2, 2, 2))
    assert list(found) == ["it", "it_background", "it_left_lung", "it_right_lung"]
    assert found["it_left_lung"] == 0.5


def test_what_is_no_mask_is_refused() -> None:
    with pytest.raises(ValueError, match="task=segmentation"):
        iou(num_classes=3).update(torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64))
    with pytest.raises(ValueError, match="of 4 classes"):
        iou(num_classes=4).update(logits_of(FOUND, 3), LABELS)
