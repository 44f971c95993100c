"""What a run knows of itself between two steps. Where it stands is one number: the completed steps."""

from __future__ import annotations

import math
from bisect import bisect_right
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
    keep_best: int = 1  # evaluations that each of them ranks
    step: int = 0
    stop: str = ""  # why training was interrupted; not saved: a resumed run goes on
    ended: str = ""  # why a rule ended training before its budget was used
    ranked: dict[str, list[tuple[int, float]]] = field(default_factory=dict)  # (step, value) by metric, best first
    means: LossMeans = field(default_factory=LossMeans)

    def goes_on(self, last_step: int) -> bool:
        """Whether there is a step to make before ``last_step`` steps are complete."""
        return self.step < last_step and not (self.stop or self.ended)

    @property
    def best(self) -> dict[str, float]:
        """The best value so far of each metric that has one."""
        return {name: ranked[0][1] for name, ranked in self.ranked.items()}

    def ranked_steps(self) -> dict[str, list[int]]:
        """The steps of the evaluations that are kept, best first, by metric."""
        return {name: [step for step, _ in ranked] for name, ranked in self.ranked.items()}

    def judge(self, scores: Mapping[str, float]) -> dict[str, float]:
        """Rank the evaluation at this step; its values that are among the ``keep_best`` best of their metric.

        Of equal ones the earlier is better. NaN never counts. Raises ``ValueError`` for a metric that was not measured.
        """
        improved = {}
        for name, direction in self.directions.items():
            if name not in scores:
                raise ValueError(f"trainer.best names {name!r}, which was not measured; there are: {', '.join(scores)}")
            value = scores[name]
            if math.isnan(value):
                continue
            sign, ranked = (1 if direction == "min" else -1), self.ranked.setdefault(name, [])
            place = bisect_right(ranked, sign * value, key=lambda entry: sign * entry[1])
            if place < self.keep_best:
                ranked.insert(place, (self.step, value))
                del ranked[self.keep_best :]
                improved[name] = value
        return improved

    def state_dict(self) -> dict[str, Any]:
        """Raises ``NonFiniteLoss`` when a loss was not finite: a state that saw one is not worth keeping."""
        return {
            "step": self.step,
            "ranked": {name: list(ranked) for name, ranked in self.ranked.items()},
            "ended": self.ended,
            "loss_sums": self.means.values(),
            "loss_samples": self.means.samples,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.step = state["step"]
        self.ranked = {
            name: [(step, value) for step, value in ranked][: self.keep_best]
            for name, ranked in state["ranked"].items()
        }
        self.ended = state["ended"]
        self.means.sums = {name: torch.tensor(total, dtype=torch.float64) for name, total in state["loss_sums"].items()}
        self.means.samples = state["loss_samples"]
