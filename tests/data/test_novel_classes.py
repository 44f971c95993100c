"""Classes that are only tested on, and labels that are not told."""

from __future__ import annotations

import pytest
import torch

from runner.data.source import Arrays, Examples
from runner.data.sources import Digits, Synthetic


def labels_of(part: Examples) -> torch.Tensor:
    assert isinstance(part, Arrays)
    return part.tensors[1]


def test_novel_classes_are_in_the_test_part_only() -> None:
    whole, novel = Digits(image_size=8).load(), Digits(image_size=8, novel_classes=[2, 7]).load()
    for name in ("train", "valid"):
        normal = labels_of(getattr(novel, name))
        assert set(normal.tolist()) == set(range(10)) - {2, 7}
        before = labels_of(getattr(whole, name))
        assert torch.equal(normal, before[(before != 2) & (before != 7)])
    assert torch.equal(labels_of(whole.test), labels_of(novel.test))
    assert novel.facts()["novel_classes"] == (2, 7)
    assert novel.notes["train_size"] == len(novel.train)
    assert whole.digest != novel.digest


def test_tasks_are_told_what_a_pixel_can_be() -> None:
    assert Digits(mean=[0.0], std=[1.0]).load().facts()["pixel_range"] == (0.0, 1.0)
    low, high = Synthetic(mean=[0.5, 0.25, 0.5], std=[0.5, 0.25, 1.0], train_size=20).load().facts()["pixel_range"]
    assert (low, high) == (-1.0, 3.0)


def test_a_fraction_of_each_class_keeps_its_label() -> None:
    source = Synthetic(train_size=400, num_classes=4, labelled_fraction=0.1)
    splits = source.load()
    labels = labels_of(splits.train)
    assert torch.bincount(labels[labels >= 0]).tolist() == [10] * 4
    assert (labels == -100).sum() == 360
    assert labels_of(splits.valid).min() == labels_of(splits.test).min() == 0
    assert torch.equal(labels, labels_of(source.load().train))


@pytest.mark.parametrize("classes", [[10], [-1], [1, 1], list(range(10)), "27", [1.5]])
def test_classes_that_cannot_be_left_out_are_problems(classes: object) -> None:
    (problem,) = Digits(novel_classes=classes).problems()  # type: ignore[arg-type]
    assert problem.key == "novel_classes"
    assert "between 0 and 9" in problem.text


@pytest.mark.parametrize("fraction", [0, 1, 2.0, "half"])
def test_fractions_that_leave_nothing_are_problems(fraction: object) -> None:
    (problem,) = Digits(labelled_fraction=fraction).problems()  # type: ignore[arg-type]
    assert problem.key == "labelled_fraction"
