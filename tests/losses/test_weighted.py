"""Several losses at once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from runner.losses import BinaryCrossEntropy, CrossEntropy, Focal, WeightedSum, targets_of
from runner.losses.terms import total
from runner.metrics import Metrics
from runner.tasks import Classification, Reconstruction

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 1.5, 0.0]])
LABELS = torch.tensor([0, 2])


def test_each_part_is_weighed_and_named() -> None:
    parts = {"ce": CrossEntropy(), "focal": Focal()}
    losses = WeightedSum(parts, weights={"focal": 0.25})(LOGITS, LABELS)
    expected = {"ce_loss": CrossEntropy()(LOGITS, LABELS), "focal_loss": 0.25 * Focal()(LOGITS, LABELS)}
    assert losses == expected
    assert total(losses) == expected["ce_loss"] + expected["focal_loss"]


def test_parts_with_class_weights_are_means_of_their_own() -> None:
    """In batches or at once: the sum of the two means."""
    weighted = CrossEntropy(weight=[1.0, 1.0, 5.0])
    task = Classification(nn.Identity(), WeightedSum({"ce": weighted, "focal": Focal()}))
    metrics = Metrics({})
    for batch in zip(torch.split(LOGITS, 1), torch.split(LABELS, 1), strict=True):
        task.scores(batch, metrics)
    found = metrics.compute()
    assert found == pytest.approx(
        {
            "ce_loss": float(weighted(LOGITS, LABELS)),
            "focal_loss": float(Focal()(LOGITS, LABELS)),
            "loss": float(weighted(LOGITS, LABELS) + Focal()(LOGITS, LABELS)),
        }
    )
    assert task.loss.uneven


def test_what_it_compares_is_what_its_parts_compare() -> None:
    assert targets_of(WeightedSum({"ce": CrossEntropy(), "bce": BinaryCrossEntropy()})) == "classes"
    assert targets_of(WeightedSum({"l1": nn.L1Loss()})) == "image"
    assert targets_of(WeightedSum({"bce": BinaryCrossEntropy()})) == "any"


@pytest.mark.parametrize(
    ("parts", "weights", "message"),
    [
        ({}, {}, "loss.parts is empty"),
        ({"l1": nn.L1Loss()}, {"l2": 1.0}, "loss.weights names l2, but loss.parts has only l1"),
        ({"l1": nn.L1Loss()}, {"l1": -1.0}, r"loss.weights.l1 must not be negative, got -1.0"),
        ({"l1": nn.L1Loss()}, {"l1": float("nan")}, r"loss.weights.l1 must not be negative, got nan"),
        (
            {"l1": nn.L1Loss(), "ce": CrossEntropy()},
            {},
            "same targets: l1 compares with image, ce compares with classes",
        ),
        ({"sum": WeightedSum({"l1": nn.L1Loss()})}, {}, "loss.parts.sum is a weighted sum itself"),
    ],
)
def test_sums_without_a_meaning_are_refused(parts: Any, weights: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WeightedSum(parts, weights=weights)


def test_logits_of_pixels_go_with_no_other_loss_of_images() -> None:
    with pytest.raises(ValueError, match="bce takes logits of pixels"):
        Reconstruction(nn.Identity(), WeightedSum({"bce": BinaryCrossEntropy(), "l1": nn.L1Loss()}))
