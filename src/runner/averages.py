"""Averages of the weights along training, which are evaluated and kept in place of the weights themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor, nn


class Averages(Protocol):
    def step(self, step: int) -> None:
        """Take in the weights after ``step`` completed steps."""
        ...

    def in_place(self) -> AbstractContextManager[None]:
        """Inside, the task's weights are the averages."""
        ...


class NoAverages:
    """Weights as they are."""

    def step(self, step: int) -> None: ...

    def in_place(self) -> AbstractContextManager[None]:
        return nullcontext()


class MovingAverages:
    """Exponential moving averages a = d a + (1 - d) w of the weights of ``task``, and of buffers that are no integers.

    Polyak and Juditsky, "Acceleration of stochastic approximation by averaging" (1992), with the forgetting that is
    usual now. The first steps are forgotten faster, d = min(``decay``, (step - 1) / (step + 9)): the average begins
    with the weights after the first one. Costs one more copy of the weights.
    Raises ``ValueError`` unless 0 < decay < 1.
    """

    def __init__(self, task: nn.Module, *, decay: float) -> None:
        if not 0 < decay < 1:
            raise ValueError(
                f"trainer.ema_decay must lie between 0 and 1, got {decay}; set it to 0.999, or null for none"
            )
        self.decay = decay
        named = {**dict(task.named_parameters()), **dict(task.named_buffers())}  # a shared one once
        self.weights = {name: tensor.detach() for name, tensor in named.items() if tensor.is_floating_point()}
        self.averages = {name: tensor.clone() for name, tensor in self.weights.items()}
        self._placed = False

    @torch.no_grad()
    def step(self, step: int) -> None:
        from torch.optim.swa_utils import get_ema_multi_avg_fn

        decay = min(self.decay, (step - 1) / (step + 9))
        average: Any = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        average(list(self.averages.values()), list(self.weights.values()), step)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """May be entered again inside. Copies, because optimizers and CUDA graphs know the weights by their place."""
        if self._placed:
            yield
            return
        own = {name: tensor.clone() for name, tensor in self.weights.items()}
        self._copy(self.averages)
        self._placed = True
        try:
            yield
        finally:
            self._copy(own)
            self._placed = False

    @torch.no_grad()
    def _copy(self, values: Mapping[str, Tensor]) -> None:
        for name, tensor in self.weights.items():
            tensor.copy_(values[name])

    def state_dict(self) -> dict[str, Any]:
        return dict(self.averages)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, average in self.averages.items():
            average.copy_(state[name])
