"""One optimizer with what belongs to its step: gradients, scaling, clipping, schedule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from runner.gradients import Gradients, Local
from runner.losses.terms import Loss, detached, named, total
from runner.optim import Scheduler
from runner.optim.momentum import momentum_of
from runner.precision import Parts
from runner.state import NonFiniteLoss


def loss_label(name: str, *, alone: bool, term: str = "loss") -> str:
    """What the training loss of network ``name``, or a term of it, is called in every record."""
    return f"train/{term}" if alone else f"train/{name}_{term}"


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
        gradients: Gradients | None = None,
    ) -> None:
        """``alone``: the optimizer owns all that is trained, so the plain backward pass reaches nothing else.

        ``gradients`` are those of this process, unless others compute with it.
        """
        self.label = loss_label(name, alone=alone)
        for key, limit in (("clip_norm", clip_norm), ("clip_value", clip_value)):
            if limit is not None and limit <= 0:
                raise ValueError(f"{key} must be positive, got {limit}; leave it out for no clipping")
        self.name = name
        self.rate_label = "lr" if alone else f"lr/{name}"
        self.momentum_label = "momentum" if alone else f"momentum/{name}"
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.scaler = scaler
        self.clip_norm = clip_norm
        self.clip_value = clip_value
        self.parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self.gradients = gradients or Local(self.label)
        self.alone = alone

    def apply(self, parts: Parts) -> dict[str, Tensor]:
        """Take one step on the sum of ``parts``; what was minimised, by label: the loss and its terms.

        They are sums over all ranks, without a graph, on their device.
        Raises ``NonFiniteLoss`` before the step on the CPU, where looking is free. On other devices looking would
        stop the queue at each step: there the sums in ``LossMeans`` show it before the next evaluation or save.
        Raises ``ValueError`` when not all parts have the same terms.
        """
        try:
            losses = self._backward(parts)
        except NonFiniteLoss:
            self.optimizer.zero_grad(set_to_none=True)
            raise
        self._clip()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.scheduler.step()
        self.optimizer.zero_grad(set_to_none=True)
        return losses

    def _backward(self, parts: Parts) -> dict[str, Tensor]:
        terms: tuple[str, ...] | None = None
        reached = None if self.alone else [p for p in self.parameters if p.requires_grad]
        for number, part in enumerate(parts, 1):
            if terms is None:
                terms, losses = named(part), detached(part)
            else:
                losses = losses + detached(self._alike(part, terms))
            scaled = self.scaler.scale(total(part))
            self.gradients.backward(scaled, losses, inputs=reached, last=number == len(parts))
        assert terms is not None, "a loss has at least one part"
        losses = self.gradients.total(losses)
        if not terms:
            return {self.label: losses}
        labels = [self.label, *(loss_label(self.name, alone=self.alone, term=term) for term in terms)]
        return dict(zip(labels, losses.unbind(), strict=True))

    def _alike(self, part: Loss, terms: tuple[str, ...]) -> Loss:
        if named(part) != terms:
            what = f"the loss of {self.name!r} must have the same terms for each batch"
            raise ValueError(f"{what}, got {', '.join(terms)} and then {', '.join(named(part))}")
        return part

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

    @property
    def momentum(self) -> float | None:
        """``momentum``, or the first of ``betas``, of the first group; None where no schedule moves it."""
        return momentum_of(self.optimizer.param_groups[0]) if self.scheduler.moves_momentum else None

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
