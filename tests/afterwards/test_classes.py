"""Tables of classes and of confidence, beside scikit-learn's and sums by hand."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from runner.afterwards.classes import BINS, ClassTables, by_class, calibration, class_lines


@pytest.fixture
def batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.randn(size, 4, generator=generator), torch.randint(0, 4, (size,), generator=generator))
        for size in (20, 7)
    ]


def counted(batches: list[tuple[torch.Tensor, torch.Tensor]], **settings: int) -> ClassTables:
    tables = ClassTables(4, **settings)
    for logits, labels in batches:
        tables.update(logits, labels)
    return tables


def test_the_same_as_scikit_learn(batches: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    logits, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    table = counted(batches).compute()["confusion"]
    assert table.tolist() == confusion_matrix(labels, logits.argmax(1)).tolist()
    theirs = precision_recall_fscore_support(labels, logits.argmax(1))
    rows = by_class(table, ["a", "b", "c", "d"])
    for name, values in zip(("precision", "recall", "f1", "support"), theirs, strict=True):
        assert [row[name] for row in rows] == pytest.approx(values.tolist())
    assert [row["class"] for row in rows] == ["a", "b", "c", "d"]


def test_calibration_is_the_gap_in_each_bin(batches: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    logits, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    confidence, predicted = logits.double().softmax(1).max(1)
    error = 0.0
    for place in range(BINS):
        inside = (confidence > place / BINS) & (confidence <= (place + 1) / BINS)
        if inside.any():
            right = (predicted == labels)[inside].double().mean()
            error += inside.double().mean().item() * abs(right - confidence[inside].mean()).item()
    found = calibration(counted(batches).compute()["calibration"])
    assert found["ece"] == pytest.approx(error)
    assert sum(row["count"] for row in found["bins"]) == 27


def test_sure_and_right_has_no_error_and_sure_and_wrong_all() -> None:
    labels = torch.tensor([0, 1, 2, 3])
    sure = 1000.0 * torch.eye(4)
    assert calibration(counted([(sure, labels)]).compute()["calibration"])["ece"] == 0
    assert calibration(counted([(sure, labels.flip(0))]).compute()["calibration"])["ece"] == 1


def test_pixels_count_one_by_one_but_for_those_that_do_not() -> None:
    logits, labels = torch.zeros(1, 4, 2, 2), torch.tensor([[[0, 1], [-100, 3]]])
    logits[:, 0] = 1
    assert counted([(logits, labels)]).compute()["confusion"][:, 0].tolist() == [1, 1, 0, 1]
    assert counted([(logits, labels)], ignore_index=3).compute()["confusion"][:, 0].tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("predictions", "targets"),
    [
        (torch.zeros(3), torch.zeros(3, dtype=torch.int64)),  # scores that rank
        (torch.zeros(3, 4), torch.zeros(3, 4)),  # images
        (torch.zeros(3, 5), torch.zeros(3, dtype=torch.int64)),  # other classes
        (torch.zeros(3, 4, dtype=torch.int64), torch.zeros(3, dtype=torch.int64)),  # tokens
    ],
)
def test_what_are_no_logits_is_let_pass(predictions: torch.Tensor, targets: torch.Tensor) -> None:
    assert not counted([(predictions, targets)]).update_called


def test_a_class_that_nobody_has_or_gives_has_no_score() -> None:
    rows = by_class(torch.tensor([[2, 0, 1], [0, 0, 0], [1, 0, 0]]), [])
    assert (rows[1]["precision"], rows[1]["recall"], rows[1]["f1"], rows[1]["support"]) == (None, None, None, 0)
    assert (rows[2]["precision"], rows[2]["recall"]) == (0, 0)
    assert class_lines(rows)[2].split() == ["1", "-", "-", "-", "0"]
