"""The task of finding boxes, on tensors of which the answer is known."""

from __future__ import annotations

import finder
import pytest
import torch
from torch import Tensor, nn

from runner.losses import DetectorLoss
from runner.metrics import Metrics
from runner.tasks import Detection
from runner.tasks.boxes import lines


class Fixed(nn.Module):
    """Says what it is told to say."""

    loss_names = ("place", "kind")

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.rows = rows

    def forward(self, images: Tensor, *boxes: Tensor) -> dict[str, Tensor] | Tensor:
        if boxes:
            return {"place": 2 * self.weight, "kind": 3 * self.weight}
        return self.rows[: len(images)]


BOXES = torch.tensor([[[2.0, 2, 6, 6], [0, 0, 4, 2]], [[1, 1, 3, 3], [0, 0, 0, 0]]])
LABELS = torch.tensor([[1, 2], [1, 0]])
ROWS = torch.tensor([[[2.0, 2, 6, 4, 0.9, 1], [0, 0, 4, 2, 0.8, 1]], [[1, 1, 3, 3, 0.3, 1], [0, 0, 0, 0, 0, 0]]])
BATCH = (torch.zeros(2, 3, 8, 8), BOXES, LABELS)


def test_each_of_the_detectors_losses_is_a_term() -> None:
    ((name, terms),) = Detection(Fixed(ROWS), DetectorLoss({"kind": 10.0})).losses(BATCH)
    assert name == "model"
    assert terms == {"place": 2.0, "kind": 30.0}


def test_an_evaluation_has_the_losses_too() -> None:
    metrics = Metrics({})
    Detection(Fixed(ROWS), DetectorLoss({"kind": 10.0})).eval().scores(BATCH, metrics)
    assert metrics.compute() == {"loss": 32.0, "place": 2.0, "kind": 30.0}


def test_outlines_are_of_their_class_and_the_earlier_box_is_on_top() -> None:
    drawn = lines(
        torch.tensor([[[1.0, 1, 4, 3], [0, 1, 9, 9], [0, 0, 2, 2]]]), torch.tensor([[2, 1, 0]]), image_size=(5, 6)
    )
    assert drawn.tolist() == [
        [
            [0, 0, 0, 0, 0, 0],
            [1, 2, 2, 2, 2, 1],
            [1, 2, 0, 0, 2, 1],
            [1, 2, 2, 2, 2, 1],
            [1, 1, 1, 1, 1, 1],
        ]
    ]


def test_pictures_show_true_boxes_and_what_was_found_with_confidence() -> None:
    shown = Detection(Fixed(ROWS), DetectorLoss(), shown_score=0.5).eval().pictures(BATCH)
    assert list(shown) == ["boxes", "detected"]
    assert {(some.dtype, tuple(some.shape)) for some in shown.values()} == {(torch.uint8, (2, 3, 8, 8))}
    assert shown["boxes"].flatten(1).any(1).tolist() == [True, True]
    assert shown["detected"].flatten(1).any(1).tolist() == [True, False]  # 0.3 is too low


def test_what_does_not_fit_is_refused_with_what_to_set() -> None:
    with pytest.raises(ValueError, match=r"needs a model that finds boxes, got Linear; set model=fasterrcnn_mobilenet"):
        Detection(nn.Linear(1, 1), DetectorLoss())
    with pytest.raises(ValueError, match=r"minimises its model's own losses, got loss MSELoss; set loss=detector"):
        Detection(Fixed(ROWS), nn.MSELoss())
    with pytest.raises(ValueError, match=r"loss.weights names mask, but the detector's losses are place, kind"):
        Detection(Fixed(ROWS), DetectorLoss({"mask": 1.0}))
    with pytest.raises(ValueError, match=r"task.shown_score must lie in \[0, 1\], got 2"):
        Detection(Fixed(ROWS), DetectorLoss(), shown_score=2)


def test_what_is_sampled_belongs_to_the_generators_seed() -> None:
    """Proposals and anchors that are compared are drawn: by torch's default generator."""
    splits, task = finder.BOXES.load(), finder.task()
    batch = tuple(torch.stack(column) for column in zip(*(splits.train[place] for place in range(4)), strict=True))
    batch = (batch[0].float() / 255, *batch[1:])

    def total(seed: int) -> float:
        torch.manual_seed(seed)
        ((_, terms),) = task.losses(batch)  # type: ignore[arg-type]
        assert isinstance(terms, dict)
        return sum(float(term.detach()) for term in terms.values())

    assert total(0) == total(0) != total(1)
