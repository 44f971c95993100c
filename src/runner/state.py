"""What a run knows of itself between two steps. Where it stands is one number: the completed steps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

Direction = Literal["min", "max"]


class NonFiniteLoss(RuntimeError):
    """A training loss became infinite or NaN. Nothing on disk has seen it."""

    def __init__(self, name: str, value: float) -> None:
        super().__init__(f"{name} became {value}")
        self.name = name
        self.value = value


class LossMeans:
    """Means of the training losses since the last evaluation, weighted by sample. Sums stay on the device."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.samples = 0

    def add(self, losses: Mapping[str, Tensor], samples: int) -> None:
        for name, loss in losses.items():
            total = self.sums.get(name)
            if total is None or total.device != loss.device:  # the first of a mean, or of a resumed run
                dtype = torch.float32 if loss.device.type == "mps" else torch.float64
                total = torch.tensor(0.0 if total is None else total.item(), dtype=dtype, device=loss.device)
                self.sums[name] = total
            total.add_(loss, alpha=samples)
        self.samples += samples

    def take(self) -> dict[str, float]:
        """The means, and start anew. Raises as ``values`` does."""
        means = {name: total / self.samples for name, total in self.values().items()}
        self.sums, self.samples = {}, 0
        return means

    def values(self) -> dict[str, float]:
        """The sums, on the host. Raises ``NonFiniteLoss``: a sum never recovers from a loss that was not finite."""
        if not self.sums:
            return {}
        totals = torch.stack(list(self.sums.values())).tolist()  # host sync
        for name, total in zip(self.sums, totals, strict=True):
            if not math.isfinite(total):
                raise NonFiniteLoss(name, total)
        return dict(zip(self.sums, totals, strict=True))


@dataclass
class State:
    """Where a run stands, how good it was at best, and whether it should go on."""

    directions: Mapping[str, Direction] = field(default_factory=dict)  # of the metrics that choose checkpoints
    step: int = 0
    stop: str = ""  # why training was interrupted; not saved: a resumed run goes on
    ended: str = ""  # why a rule ended training before its budget was used
    best: dict[str, float] = field(default_factory=dict)
    means: LossMeans = field(default_factory=LossMeans)

    def goes_on(self, last_step: int) -> bool:
        """Whether there is a step to make before ``last_step`` steps are complete."""
        return self.step < last_step and not (self.stop or self.ended)

    def judge(self, scores: Mapping[str, float]) -> dict[str, float]:
        """Record the best values; those that are new. NaN never improves.

        Raises ``ValueError`` for a metric that was not measured.
        """
        improved = {}
        for name, direction in self.directions.items():
            if name not in scores:
                raise ValueError(f"trainer.best names {name!r}, which was not measured; there are: {', '.join(scores)}")
            value, best = scores[name], self.best.get(name)
            if math.isnan(value):
                continue
            if best is None or (value < best if direction == "min" else value > best):
                self.best[name] = improved[name] = value
        return improved

    def state_dict(self) -> dict[str, Any]:
        """Raises ``NonFiniteLoss`` when a loss was not finite: a state that saw one is not worth keeping."""
        return {
            "step": self.step,
            "best": dict(self.best),
            "ended": self.ended,
            "loss_sums": self.means.values(),
            "loss_samples": self.means.samples,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.step = state["step"]
        self.best = dict(state["best"])
        self.ended = state["ended"]
        self.means.sums = {name: torch.tensor(total, dtype=torch.float64) for name, total in state["loss_sums"].items()}
        self.means.samples = state["loss_samples"]
