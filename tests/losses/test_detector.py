"""Weights of the losses that a detector computes itself."""

from __future__ import annotations

import pytest
import torch

from runner.losses import DetectorLoss

LOSSES = {"classes": torch.tensor(3.0), "boxes": torch.tensor(5.0)}


def test_each_loss_is_weighed_by_its_name() -> None:
    assert DetectorLoss({"boxes": 0.5, "mask": None})(LOSSES) == {"classes": 3.0, "boxes": 2.5}


def test_what_has_no_meaning_is_refused() -> None:
    with pytest.raises(ValueError, match=r"names mask, but .* are classes, boxes; set loss.weights.mask=null"):
        DetectorLoss({"mask": 1.0, "boxes": 2.0}).require(["classes", "boxes"])
    for weight in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"loss.weights.boxes must not be negative"):
            DetectorLoss({"boxes": weight})
    with pytest.raises(ValueError, match=r"it is for task=detection"):
        DetectorLoss()(torch.zeros(2, 3), torch.zeros(2))
