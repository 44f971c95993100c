"""Evaluation of parts that are made of several sets: each by itself, and the mean over samples."""

from __future__ import annotations

from dataclasses import replace

import pytest
import tiny
import torch
from torch import Tensor, nn

from runner.data.source import Arrays, Splits
from runner.metrics import Metrics
from runner.metrics.factories import accuracy
from runner.metrics.sample_mean import SampleMean
from runner.session import Session, over_sets
from runner.tasks import Classification


class Third(nn.Module):
    """Always says class 2."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.tensor([0.0, 0.0, 1.0]))

    def forward(self, images: Tensor) -> Tensor:
        return self.bias.expand(len(images), -1)


def labelled(labels: list[int]) -> Arrays:
    return Arrays(torch.zeros(len(labels), 1, tiny.PIXELS, tiny.PIXELS, dtype=torch.uint8), torch.tensor(labels))


def classes(_predictions: Tensor, labels: Tensor) -> tuple[Tensor, None]:
    """What is more than one number: whether a label is that of each class."""
    return nn.functional.one_hot(labels, tiny.CLASSES), None


def evaluating(parts: Splits) -> Session:
    measures = {"accuracy": accuracy(num_classes=tiny.CLASSES), "shares": SampleMean(classes, columns=tiny.CLASSES)}
    return tiny.session(task=Classification(Third(), nn.CrossEntropyLoss()), parts=parts, metrics=Metrics(measures))


def test_each_set_is_scored_and_the_mean_is_over_samples() -> None:
    """Of the five labels near one is right, of the two far both are. The loss is log(2 + e), less one where right."""
    near, far = [0, 2, 0, 1, 1], [2, 2]
    parts = replace(tiny.splits(), valid=labelled(near + far), sets={"valid": {"near": 5, "far": 2}})
    session = evaluating(parts)
    scores = session.evaluate("valid", 0)
    assert list(scores) == [
        "valid/loss",
        "valid/accuracy",
        "valid/near/loss",
        "valid/near/accuracy",
        "valid/far/loss",
        "valid/far/accuracy",
    ]
    assert scores["valid/near/accuracy"] == pytest.approx(1 / 5)
    assert scores["valid/far/accuracy"] == 1
    assert scores["valid/accuracy"] == pytest.approx(3 / 7)
    log_sum = torch.tensor([0.0, 0.0, 1.0]).logsumexp(0).item()
    assert scores["valid/near/loss"] == pytest.approx(log_sum - 1 / 5)
    assert scores["valid/loss"] == pytest.approx(log_sum - 3 / 7)
    tables = {name: table.tolist() for name, table in session.tables.items()}
    assert tables == {"valid/near/shares": [0.4, 0.4, 0.2], "valid/far/shares": [0, 0, 1]}


def test_the_mean_is_what_one_set_of_all_samples_gives() -> None:
    parts = tiny.several()
    whole, apart = (tiny.session(parts=given).evaluate("valid", 0) for given in (tiny.splits(), parts))
    assert apart["valid/loss"] == pytest.approx(whole["valid/loss"])
    assert apart["valid/near/loss"] != apart["valid/far/loss"]


def test_one_set_has_its_own_scores_as_the_mean_to_the_bit() -> None:
    scores = tiny.session(parts=tiny.several()).evaluate("test", 0)
    assert scores["test/loss"] == scores["test/far/loss"]


def test_tables_are_those_of_the_last_evaluation() -> None:
    session = evaluating(replace(tiny.splits(), sets={"valid": {"near": 4, "far": 3}}))
    session.evaluate("valid", 0)
    session.evaluate("test", 0)
    assert list(session.tables) == ["test/shares"]


def test_a_score_that_one_set_lacks_is_the_mean_of_the_others() -> None:
    scores = {
        "near": {"test/near/loss": 1.0},
        "far": {"test/far/loss": 2.0, "test/far/roc_auc": 0.7},
        "farther": {"test/farther/loss": 4.0, "test/farther/roc_auc": 0.9},
    }
    means = over_sets("test", scores, samples={"near": 2, "far": 1, "farther": 3})
    assert means["test/loss"] == pytest.approx((2 * 1 + 1 * 2 + 3 * 4) / 6)
    assert means["test/roc_auc"] == pytest.approx((0.7 + 3 * 0.9) / 4)
