"""Average precision of boxes, with values known by hand."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from torch import Tensor

from runner.metrics import Metrics, mean_average_precision

TRUE = torch.tensor([[[0.0, 0, 10, 10, 1], [20, 20, 40, 40, 2]], [[5, 5, 9, 9, 1], [0, 0, 0, 0, 0]]])


def found(*rows: tuple[int, list[float], float, int]) -> Tensor:
    """(image, box, score, class) of each, as (2, 3, 6)."""
    made, places = torch.zeros(2, 3, 6), [0, 0]
    for image, box, score, label in rows:
        made[image, places[image]] = torch.tensor([*box, score, label])
        places[image] += 1
    return made


RIGHT = [(0, [0.0, 0, 10, 10], 0.9, 1), (0, [20.0, 20, 40, 40], 0.8, 2), (1, [5.0, 5, 9, 9], 0.7, 1)]


def measured(predictions: Tensor, true: Tensor = TRUE, *, per_class: bool = False) -> dict[str, float]:
    names = ("disc", "square", "triangle")
    metrics = Metrics({"map": mean_average_precision(class_metrics=per_class, class_names=names)})
    for image in range(len(true)):  # a batch each
        metrics.update(predictions[image : image + 1], true[image : image + 1])
    return metrics.compute()


def test_boxes_at_their_place_are_worth_one() -> None:
    assert measured(found(*RIGHT)) == pytest.approx({"map": 1.0, "map_50": 1.0, "map_75": 1.0})


def test_an_overlap_counts_up_to_its_threshold() -> None:
    """62 % of the only square: right at 0.5, 0.55 and 0.6 of ten thresholds. Discs, the other class, are right."""
    rows = [RIGHT[0], (0, [20.0, 20, 40, 32.4], 0.8, 2), RIGHT[2]]
    assert measured(found(*rows)) == pytest.approx({"map": (1 + 0.3) / 2, "map_50": 1.0, "map_75": 0.5})


def test_a_box_of_another_class_is_none() -> None:
    assert measured(found(RIGHT[0], (0, [20.0, 20, 40, 40], 0.8, 3), RIGHT[2]))["map_50"] == pytest.approx(0.5)


def test_each_class_has_its_own() -> None:
    scores = measured(found(RIGHT[0], RIGHT[2]), per_class=True)
    assert scores == pytest.approx(
        {"map": 0.5, "map_50": 0.5, "map_75": 0.5, "map_disc": 1.0, "map_square": 0.0, "map_triangle": torch.nan},
        nan_ok=True,
    )


def test_without_boxes_it_is_nothing() -> None:
    """All names are there, which preflight asks for."""
    for per_class in (False, True):
        scores = measured(torch.zeros(2, 3, 6), torch.zeros(2, 2, 5), per_class=per_class)
        assert list(scores.values()) == pytest.approx([0.0] * 3 + [torch.nan] * 3 * per_class, nan_ok=True)


def test_it_forgets_when_reset() -> None:
    metrics = Metrics({"map": mean_average_precision()})
    metrics.update(torch.zeros(2, 3, 6), TRUE)
    metrics.reset()
    metrics.update(found(*RIGHT), TRUE)
    assert metrics.compute()["map"] == pytest.approx(1.0)


def test_what_is_no_box_is_refused() -> None:
    with pytest.raises(ValueError, match=r"boxes are compared, got \(4, 3\) and \(4,\); set task=detection"):
        Metrics({"map": mean_average_precision()}).update(torch.zeros(4, 3), torch.zeros(4))


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.metrics.factories.find_spec", lambda name: importlib.util.find_spec(f"no_{name}"))
    with pytest.raises(ValueError, match=r"needs the package pycocotools; install runner\[detection\]"):
        mean_average_precision()
