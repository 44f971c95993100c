"""One optimizer with what belongs to its step: gradients, scaling, clipping, schedule."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from runner.optim import Scheduler
from runner.state import NonFiniteLoss


def loss_label(name: str, *, alone: bool) -> str:
    """What the training loss of network ``name`` is called in every record."""
    return "train/loss" if alone else f"train/{name}_loss"


class Update:
    """Minimises one network's loss, a step at a time.

    Gradients reach only the optimizer's own parameters, so a generator's loss leaves nothing in the discriminator.
    """

    def __init__(
        self,
        name: str,
        optimizer: torch.optim.Optimizer,
        *,
        scheduler: Scheduler,
        scaler: torch.amp.GradScaler,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        alone: bool = False,
    ) -> None:
        """``alone``: the optimizer owns all that is trained, so the plain backward pass reaches nothing else."""
        self.label = loss_label(name, alone=alone)
        for key, limit in (("clip_norm", clip_norm), ("clip_value", clip_value)):
            if limit is not None and limit <= 0:
                raise ValueError(f"{key} must be positive, got {limit}; leave it out for no clipping")
        self.name = name
        self.rate_label = "lr" if alone else f"lr/{name}"
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.scaler = scaler
        self.clip_norm = clip_norm
        self.clip_value = clip_value
        self.parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self.reached = None if alone else [p for p in self.parameters if p.requires_grad]

    def apply(self, parts: Iterable[Tensor]) -> Tensor:
        """Take one step on the sum of ``parts``; the detached sum, on its device.

        Raises ``NonFiniteLoss`` before the step on the CPU, where looking is free. On other devices looking would
        stop the queue at each step: there the sums in ``LossMeans`` show it before the next evaluation or save.
        """
        total: Tensor | None = None
        for part in parts:
            self._check(part)
            torch.autograd.backward(self.scaler.scale(part), inputs=self.reached)
            total = part.detach() if total is None else total + part.detach()
        assert total is not None, "a loss has at least one part"
        self._clip()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.scheduler.step()
        self.optimizer.zero_grad(set_to_none=True)
        return total

    def _check(self, loss: Tensor) -> None:
        if loss.is_cpu and not math.isfinite(value := loss.item()):
            self.optimizer.zero_grad(set_to_none=True)
            raise NonFiniteLoss(self.label, value)

    def _clip(self) -> None:
        if self.clip_norm is None and self.clip_value is None:
            return
        self.scaler.unscale_(self.optimizer)
        if self.clip_value is not None:
            nn.utils.clip_grad_value_(self.parameters, self.clip_value)
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.clip_norm)

    def evaluated(self, metrics: Mapping[str, float]) -> None:
        """Tell the schedule what an evaluation found."""
        self.scheduler.evaluated(metrics)

    @property
    def learning_rate(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])

    def state_dict(self) -> dict[str, Any]:
        return {
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.scaler.load_state_dict(state["scaler"])
