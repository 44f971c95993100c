"""Gradients as the optimizer uses them, for observers that show them."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from runner.observers.observer import RunInfo


class LastGradients:
    """The gradients of the last step before each evaluation: unscaled and clipped. Other steps cost nothing.

    A step that mixed precision skips, because a gradient overflowed, has none.
    """

    def __init__(self) -> None:
        self._found: dict[str, Tensor] = {}
        self._names: dict[Tensor, str] = {}
        self._run: RunInfo | None = None
        self._hooks: list[RemovableHandle] = []
        self._due = False

    def started(self, run: RunInfo) -> None:
        self._run = run
        self._names = {parameter: name for name, parameter in run.task.named_parameters()}
        self._hooks = [optimizer.register_step_pre_hook(self._copy) for optimizer in run.optimizers.values()]
        self.stepped(run.first_step)

    def stepped(self, step: int) -> None:
        """``step`` steps are complete."""
        assert self._run is not None, "started comes first"
        self._due = self._run.plan.evaluates(step + 1)

    def take(self) -> dict[str, Tensor]:
        """By the names of the weights, on their device; they are given away."""
        found, self._found = self._found, {}
        return found

    def finished(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks, self._found, self._names, self._run = [], {}, {}, None

    def _copy(self, optimizer: Optimizer, *_: Any) -> None:
        if not self._due:
            return
        scale = getattr(optimizer, "grad_scale", None)  # a fused optimizer takes the loss scale off itself
        for parameter in (parameter for group in optimizer.param_groups for parameter in group["params"]):
            if parameter.grad is not None and parameter in self._names:
                gradient = parameter.grad.detach()
                self._found[self._names[parameter]] = gradient.clone() if scale is None else gradient / scale
