"""Metrics and weighted means that stay on the device until they are asked for."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from runner.losses.targets import Weight
from runner.losses.terms import Loss, named
from runner.metrics.sample_mean import SampleMean
from runner.ranks import Alone, Ranked

if TYPE_CHECKING:
    from torchmetrics import Metric


class Metrics:
    """Named metrics of one evaluation, and means of what the task computes itself. Names carry no part's
    prefix.
    """

    def __init__(self, metrics: Mapping[str, Metric | SampleMean], *, ranks: Ranked | None = None) -> None:
        """With several ``ranks`` each adds its own samples, and ``compute`` gives what all of them come to."""
        self.metrics = dict(metrics)
        self.ranks = ranks or Alone()
        self._known: dict[str, Tensor] | None = None  # what was computed last
        self._sums: dict[str, Tensor] = {}
        self._weights: dict[str, Tensor | int] = {}
        self._terms: tuple[str, ...] = ()  # of the loss
        self._device = torch.device("cpu")

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Add a batch to every metric: logits (B, K) and labels (B,), or two tensors of one shape."""
        predictions, targets = predictions.contiguous(), targets.contiguous()  # some metrics take flat views
        for metric in self.metrics.values():
            metric.update(predictions, targets)

    def mean(self, name: str, value: Tensor, weight: Tensor | int) -> None:
        """Add ``value``, a mean over samples that weigh ``weight`` together, to the mean of that name.

        Sums are float64 (float32 on MPS). A batch without weight adds nothing, not even a NaN.

        Raises ``ValueError`` when a metric has that name.
        """
        if name in self.metrics:
            raise ValueError(f"the task measures {name} itself; rename or leave out metrics.{name}")
        if name not in self._sums:
            self._sums[name] = torch.zeros((), dtype=_widest(value.device), device=value.device)
            self._weights[name] = 0
        if isinstance(weight, Tensor):
            value = torch.where(weight > 0, value.detach() * weight, 0.0)
            self._sums[name].add_(value)
        else:
            self._sums[name].add_(value.detach(), alpha=weight)
        self._weights[name] = self._weights[name] + weight

    def loss(self, loss: Loss, weight: Weight | Mapping[str, Weight]) -> None:
        """Add what the task minimises to the mean "loss", and each term of it to a mean of its own.

        ``weight`` is that of ``mean``; one for each term, where they weigh the batch differently. "loss" is the sum of
        the terms' means.
        """
        for name, value in {"loss": loss}.items() if isinstance(loss, Tensor) else loss.items():
            self.mean(name, value, weight[name] if isinstance(weight, Mapping) else weight)
        self._terms = named(loss)

    def reset(self) -> None:
        """Forget everything that was added."""
        for metric in self.metrics.values():
            metric.reset()
        self._terms = ()
        self._sums.clear()
        self._weights.clear()
        self._known = None

    def to(self, device: torch.device) -> Metrics:
        """Move what was added, and what will be, to ``device``."""
        self._device = device
        for name, metric in self.metrics.items():
            if device.type == "mps":
                metric.set_dtype(torch.float32)  # MPS has no float64
            self.metrics[name] = metric.to(device)
        self._sums = {name: total.to(device, _widest(device)) for name, total in self._sums.items()}
        return self

    def compute(self) -> dict[str, float]:
        """Everything that is one number: the means, then the metrics that saw a batch."""
        scalars = {name: total / weight for name, (total, weight) in self._whole().items()}
        if terms := self.ranks.named(list(self._terms)):
            scalars = {"loss": torch.stack([scalars[name] for name in terms]).sum()} | scalars
        self._known = self._values()
        scalars |= {name: value for name, value in self._known.items() if value.ndim == 0}
        if not scalars:
            return {}
        widest = [value.to(_widest(value.device)) for value in scalars.values()]
        return dict(zip(scalars, torch.stack(widest).tolist(), strict=True))  # host sync

    def arrays(self) -> dict[str, Tensor]:
        """Everything that is more than one number, such as a confusion matrix, on the device."""
        known = self._values() if self._known is None else self._known
        return {name: value for name, value in known.items() if value.ndim > 0}

    def _whole(self) -> dict[str, tuple[Tensor, Tensor | int]]:
        """Sums and weights by name, over all ranks."""
        none = torch.zeros((), dtype=_widest(self._device), device=self._device)
        names = self.ranks.named(list(self._sums))
        return self.ranks.summed({name: (self._sums.get(name, none), self._weights.get(name, 0)) for name in names})

    def _values(self) -> dict[str, Tensor]:
        with warnings.catch_warnings():  # a class without samples: its rows of a normalised matrix are zeros
            warnings.filterwarnings("ignore", message=".*NaN values found in confusion matrix")
            warnings.filterwarnings("ignore", message=".*was called before the ``update`` method")  # on a rank without
            names = self.ranks.named([name for name, metric in self.metrics.items() if metric.update_called])
            values: dict[str, Tensor] = {}
            for name in names:
                values |= _named(name, self._computed(self.metrics[name]))
        return values

    def _computed(self, metric: Metric | SampleMean) -> object:
        """torchmetrics' own add up the ranks by themselves."""
        if isinstance(metric, SampleMean):
            metric = copy.copy(metric)
            numbers = metric.total.reshape(-1).unbind()
            whole = self.ranks.summed({str(place): (number, metric.count) for place, number in enumerate(numbers)})
            metric.total = torch.stack([total for total, _ in whole.values()]).view_as(metric.total)
            metric.count = torch.as_tensor(whole["0"][1])
        return metric.compute()


def _named(name: str, value: object) -> dict[str, Tensor]:
    """A metric measures a tensor, or a dict of them: each is called ``<name>_<key>``, that of the key "" ``<name>``."""
    named = {}
    for key, one in (value if isinstance(value, dict) else {"": value}).items():
        if not isinstance(one, Tensor):
            raise ValueError(f"metrics.{name} must give one tensor or a dict of them, got {type(one).__name__}")
        named[f"{name}_{key}" if key else name] = one
    return named


def _widest(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64
