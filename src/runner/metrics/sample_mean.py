"""Means over samples. torchmetrics has them too, but its import alone takes longer than all else that a run imports
besides torch; these are what most runs measure.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Values = Callable[[Tensor, Tensor], tuple[Tensor, Tensor | None]]
"""From predictions and targets to one value each, and which of them count; None: all."""

Measured = Tensor | dict[str, Tensor]


class SampleMean:
    """The mean of ``values`` over all that was added, behind what ``Metrics`` uses of torchmetrics' interface.

    Sums stay on the device, in float64 (float32 on MPS).
    """

    def __init__(
        self, values: Values, *, finish: Callable[[Tensor], Measured] | None = None, columns: int | None = None
    ) -> None:
        """``finish`` is applied to the mean; with ``columns``, to those of all columns of values (B, columns).

        It may give several values by name; "" is the metric's own.
        """
        self.values = values
        self.finish = finish
        self.total = torch.zeros(() if columns is None else columns, dtype=torch.float64)
        self.count = torch.zeros((), dtype=torch.float64)
        self.update_called = False

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        values, counted = self.values(predictions, targets)
        if self.total.ndim:
            self.count.add_(len(values))
        elif counted is None:
            self.count.add_(values.numel())
        else:
            values = torch.where(counted, values, torch.zeros_like(values))
            self.count.add_(counted.sum())
        self.total.add_(values.sum(0 if self.total.ndim else None, dtype=self.total.dtype))
        self.update_called = True

    def compute(self) -> Measured:
        """0 when nothing counted."""
        mean = self.total / self.count.clamp(min=1)
        return mean if self.finish is None else self.finish(mean)

    def reset(self) -> None:
        self.total.zero_()
        self.count.zero_()
        self.update_called = False

    @property
    def device(self) -> torch.device:
        return self.total.device

    def to(self, device: torch.device | str) -> SampleMean:
        self.total, self.count = self.total.to(device), self.count.to(device)
        return self

    def set_dtype(self, dtype: torch.dtype) -> SampleMean:
        self.total, self.count = self.total.to(dtype), self.count.to(dtype)
        return self


def hits(ignore_index: int | None, *, top: int = 1) -> Values:
    """Whether the label is among the ``top`` highest logits: (B, K, ...) and (B, ...)."""

    def values(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor | None]:
        _require_same(logits.shape[:1] + logits.shape[2:], labels.shape)
        if top == 1:
            hit = logits.argmax(1) == labels
        else:
            hit = (logits.topk(top, dim=1).indices == labels.unsqueeze(1)).any(1)
        return hit, None if ignore_index is None else labels != ignore_index

    return values


def squared_errors(predictions: Tensor, targets: Tensor) -> tuple[Tensor, None]:
    """Of two tensors of one shape."""
    _require_same(predictions.shape, targets.shape)
    return (predictions.double() - targets.double()).square(), None


def _require_same(predicted: torch.Size, given: torch.Size) -> None:
    if predicted != given:
        raise ValueError(f"predictions for {tuple(predicted)} do not fit targets of shape {tuple(given)}")
