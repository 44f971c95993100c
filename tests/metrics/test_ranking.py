"""Rankings with values known by hand."""

from __future__ import annotations

import pytest
import torch
from torchmetrics import Metric

from runner.metrics import Metrics, average_precision, precision_at_k, roc_auc

SCORES = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5])
NOVEL = torch.tensor([True, False, True, False, False])


def value(metric: Metric, scores: torch.Tensor = SCORES, novel: torch.Tensor = NOVEL) -> float:
    for first, last in ((0, 2), (2, None)):  # two batches
        metric.update(scores[first:last], novel[first:last])
    return float(metric.compute())


def test_values_known_by_hand() -> None:
    assert value(roc_auc()) == pytest.approx(5 / 6)  # one of six pairs is the wrong way round
    assert value(average_precision()) == pytest.approx((1 + 2 / 3) / 2)
    assert value(precision_at_k()) == 0.5
    assert value(precision_at_k(k=3)) == pytest.approx(2 / 3)
    assert value(precision_at_k(k=1)) == 1.0
    assert value(precision_at_k(k=99)) == pytest.approx(2 / 5)


def test_scores_may_be_of_any_size() -> None:
    """A sigmoid would make all of these equal."""
    assert value(roc_auc(), 1000 + SCORES) == pytest.approx(5 / 6)
    assert value(roc_auc(), -SCORES) == pytest.approx(1 / 6)


@pytest.mark.parametrize("kind", [True, False])
def test_one_kind_alone_has_no_number(kind: bool) -> None:
    metrics = Metrics({"roc_auc": roc_auc(), "precision_at_k": precision_at_k()})
    metrics.update(SCORES, torch.full((5,), kind))
    assert metrics.compute() == {}


def test_it_forgets_when_reset() -> None:
    metric = roc_auc()
    value(metric, -SCORES)
    metric.reset()
    assert value(metric) == pytest.approx(5 / 6)


def test_what_is_no_ranking_is_refused() -> None:
    with pytest.raises(ValueError, match=r"ranks one score for each sample, got \(5, 3\) and \(5,\)"):
        roc_auc().update(torch.zeros(5, 3), NOVEL)
    with pytest.raises(ValueError, match=r"precision_at_k.k must be at least 1, got 0"):
        precision_at_k(k=0)
