"""What an evaluation says of each class, and how far its probabilities can be believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

BINS = 15  # of confidence, equally wide


class ClassTables:
    """Counts (K, K) of labels and predictions, and of right ones by confidence.

    Of logits (B, K, *S) and labels (B, *S). Confidence is the softmax probability of the prediction. It stands beside
    a run's metrics, behind what ``Metrics`` uses of torchmetrics' interface. What are no logits of ``num_classes`` is
    let pass; labels below 0 and ``ignore_index`` do not count.
    """

    def __init__(self, num_classes: int, *, ignore_index: int | None = None) -> None:
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.reset()

    def reset(self) -> None:
        self.confusion = torch.zeros(self.num_classes**2, dtype=torch.int64)
        self.bins = torch.zeros(BINS, 3, dtype=torch.float64)  # predictions, the sum of their confidence, right ones
        self.update_called = False

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Add a batch; it is counted on the host."""
        if not self._fits(predictions, targets):
            return
        self.update_called = True
        probabilities = predictions.movedim(1, -1).reshape(-1, self.num_classes).double().softmax(1)
        predicted = predictions.argmax(1).reshape(-1)
        confidence = probabilities.gather(1, predicted.unsqueeze(1)).squeeze(1)
        labels = targets.reshape(-1)
        kept = (labels >= 0) if self.ignore_index is None else (labels >= 0) & (labels != self.ignore_index)
        labels, predicted, confidence = (values[kept].cpu() for values in (labels, predicted, confidence))  # host sync
        pairs = torch.bincount(labels * self.num_classes + predicted, minlength=self.num_classes**2)
        self.confusion += pairs
        places = (confidence * BINS).ceil().long().sub(1).clamp(0, BINS - 1)
        rows = torch.stack([torch.ones_like(confidence), confidence, (labels == predicted).double()], 1)
        self.bins.index_add_(0, places, rows)

    def compute(self) -> dict[str, Tensor]:
        return {"confusion": self.confusion.view(self.num_classes, -1), "calibration": self.bins}

    def to(self, _device: torch.device | str) -> ClassTables:
        """Counts are kept on the host."""
        return self

    def set_dtype(self, _dtype: torch.dtype) -> ClassTables:
        return self

    def _fits(self, predictions: Tensor, targets: Tensor) -> bool:
        logits = predictions.is_floating_point() and not targets.is_floating_point()
        shapes = predictions.ndim == targets.ndim + 1 and predictions.shape[1] == self.num_classes
        return logits and shapes and predictions.shape[2:] == targets.shape[1:]


def by_class(confusion: Tensor, names: Sequence[str]) -> list[dict[str, Any]]:
    """Precision, recall, F1 and support of each class of counts (K, K); None where there is nothing to divide by."""
    hits, support, predicted = confusion.diag().tolist(), confusion.sum(1).tolist(), confusion.sum(0).tolist()
    return [
        {
            "class": names[number] if number < len(names) else str(number),
            "precision": _ratio(hit, given),
            "recall": _ratio(hit, there),
            "f1": _ratio(2 * hit, given + there),
            "support": there,
        }
        for number, (hit, there, given) in enumerate(zip(hits, support, predicted, strict=True))
    ]


def calibration(bins: Tensor) -> dict[str, Any]:
    """The expected calibration error, and the reliability table it is of: confidence and accuracy in each bin.

    Guo et al., "On calibration of modern neural networks" (2017), equation 3: the mean over predictions of how far
    accuracy and mean confidence of their bin are apart. Bins are ``BINS`` equal intervals, open at their lower end.
    """
    rows = []
    for number, (count, confidence, right) in enumerate(bins.tolist()):
        interval = {"from": number / len(bins), "to": (number + 1) / len(bins), "count": int(count)}
        rows.append({**interval, "confidence": _ratio(confidence, count), "accuracy": _ratio(right, count)})
    total = bins[:, 0].sum().item()
    return {"ece": _ratio((bins[:, 2] - bins[:, 1]).abs().sum().item(), total), "bins": rows}


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def class_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A table of ``by_class`` for the console."""
    width = max(len("class"), *(len(row["class"]) for row in rows))
    columns = ("precision", "recall", "f1")
    lines = ["  ".join([f"{'class':<{width}}", *(f"{name:>9}" for name in columns), f"{'support':>8}"])]
    for row in rows:
        cells = ["-" if row[name] is None else f"{row[name]:.4f}" for name in columns]
        lines.append("  ".join([f"{row['class']:<{width}}", *(f"{cell:>9}" for cell in cells), f"{row['support']:>8}"]))
    return lines
