"""Momentum, orthogonalised. torch's own class refuses the four-dimensional weights of convolutions, and
biases.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

OTHERS = ("adamw", "sgd")
ADJUSTMENTS = ("original", "match_rms_adamw")
_SMALL = 1e-7  # a norm to divide by, at least
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic; chosen by Jordan for the steepest slope at zero


def orthogonalise(matrix: Tensor, *, steps: int = 5) -> Tensor:
    """The matrix (rows, columns) with its singular values moved near 1 (about 0.7 to 1.2), by Newton-Schulz
    iteration.

    In bfloat16 on CUDA, whose tensor cores want it, else in float32.
    """
    a, b, c = _COEFFICIENTS
    x = matrix.to(torch.bfloat16 if matrix.is_cuda else torch.float32)
    tall = x.size(0) > x.size(1)
    x = x.mT if tall else x
    x = x / x.norm().clamp(min=_SMALL)  # a spectral norm of at most 1, without which the iteration diverges
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class Muon(Optimizer):
    """Jordan, "Muon: an optimizer for hidden layers in neural networks" (2024), and another optimizer for what is no
    matrix.

    Parameters with two or more dimensions take orthogonalised momentum, flattened to (first dimension, rest).
    All others take ``others``, "adamw" with ``adamw_lr`` or "sgd" (Nesterov's momentum) with ``sgd_lr``, as do all
    parameters of a group with ``muon=False``, which is advised for embeddings and heads; there ``lr``, where the group
    sets it, is that of the other optimizer. Weight decay is decoupled, but for "sgd", which adds it to the gradient.

    ``adjust_lr`` scales the step of a matrix: "original" by sqrt(max(1, rows / columns)), "match_rms_adamw" by
    0.2 sqrt(max(rows, columns)), so that a learning rate of AdamW fits (Liu et al., "Muon is scalable for LLM
    training", 2025). With ``normalise`` each matrix is scaled to the norm sqrt(rows) before its step (Jordan,
    airbench94_muon.py, 2024). Each group becomes two where it holds both kinds, so schedules scale both rates.
    Raises ``ValueError`` for arguments out of range.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 0.02,
        *,
        momentum: float = 0.95,
        nesterov: bool = True,
        weight_decay: float = 0.0,
        ns_steps: int = 5,
        adjust_lr: str = "original",
        normalise: bool = False,
        others: str = "adamw",
        sgd_lr: float = 0.1,
        sgd_momentum: float = 0.9,
        adamw_lr: float = 3e-4,
        adamw_betas: Sequence[float] = (0.9, 0.95),
        adamw_eps: float = 1e-8,
        muon: bool = True,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "nesterov": nesterov,
            "weight_decay": weight_decay,
            "ns_steps": ns_steps,
            "adjust_lr": adjust_lr,
            "normalise": normalise,
            "others": others,
            "sgd_lr": sgd_lr,
            "sgd_momentum": sgd_momentum,
            "adamw_lr": adamw_lr,
            "adamw_betas": tuple(adamw_betas),
            "adamw_eps": adamw_eps,
            "muon": muon,
        }
        _check(defaults)
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add the matrices of a group, and the rest as a group of its own that the other optimizer steps."""
        given = param_group["params"]
        parameters = [given] if isinstance(given, Tensor) else list(given)
        muon = param_group.get("muon", self.defaults["muon"])
        matrices = [parameter for parameter in parameters if muon and parameter.ndim >= 2]
        others = [parameter for parameter in parameters if not (muon and parameter.ndim >= 2)]
        settings = {**self.defaults, **param_group}
        _check(settings)
        if matrices:
            super().add_param_group({**param_group, "params": matrices, "muon": True})
        if others:
            other_lr = settings[f"{settings['others']}_lr"]
            lr = other_lr if muon else param_group.get("lr", other_lr)
            super().add_param_group({**param_group, "params": others, "muon": False, "lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient; the closure's loss, where there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if group["muon"]:
                self._step_matrices(group, parameters)
            elif group["others"] == "sgd":
                self._step_sgd(group, parameters)
            else:
                self._step_adamw(group, parameters)
        return loss

    def _step_matrices(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        lr, momentum = group["lr"], group["momentum"]
        for parameter in parameters:
            gradient, state = parameter.grad, self.state[parameter]
            assert gradient is not None, "only parameters with a gradient come here"
            if not state:
                state["momentum_buffer"] = torch.zeros_like(parameter)
            average = state["momentum_buffer"].lerp_(gradient, 1 - momentum)
            direction = gradient.lerp(average, momentum) if group["nesterov"] else average
            update = orthogonalise(direction.flatten(1), steps=group["ns_steps"])
            size = lr * _scale(update, group["adjust_lr"])
            if group["normalise"]:
                parameter.mul_(math.sqrt(len(parameter)) / parameter.norm().clamp(min=_SMALL))
            parameter.mul_(1 - lr * group["weight_decay"])
            parameter.add_(update.reshape(parameter.shape).to(parameter.dtype), alpha=-size)

    def _step_sgd(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        averages = [self.state[parameter].get("momentum_buffer") for parameter in parameters]
        sgd(
            parameters,
            [parameter.grad for parameter in parameters if parameter.grad is not None],
            averages,  # where there was none, it is put here
            weight_decay=group["weight_decay"],
            momentum=group["sgd_momentum"],
            lr=group["lr"],
            dampening=0.0,
            nesterov=True,
            maximize=False,
        )
        for parameter, average in zip(parameters, averages, strict=True):
            if average is not None:
                self.state[parameter]["momentum_buffer"] = average

    def _step_adamw(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        states = [self.state[parameter] for parameter in parameters]
        for parameter, state in zip(parameters, states, strict=True):
            if not state:
                state["step"] = torch.tensor(0.0)
                state["exp_avg"] = torch.zeros_like(parameter)
                state["exp_avg_sq"] = torch.zeros_like(parameter)
        adamw(
            parameters,
            [parameter.grad for parameter in parameters if parameter.grad is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            amsgrad=False,
            beta1=group["adamw_betas"][0],
            beta2=group["adamw_betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["adamw_eps"],
            maximize=False,
        )


def _scale(matrix: Tensor, adjust_lr: str) -> float:
    rows, columns = matrix.shape
    if adjust_lr == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1.0, rows / columns))


def _check(arguments: dict[str, Any]) -> None:
    for name in ("lr", "weight_decay", "sgd_lr", "adamw_lr", "adamw_eps"):
        if arguments[name] < 0:
            raise ValueError(f"optimizer.{name} must not be negative, got {arguments[name]}")
    for name, value in (
        ("momentum", arguments["momentum"]),
        ("sgd_momentum", arguments["sgd_momentum"]),
        *(("adamw_betas", b) for b in arguments["adamw_betas"]),
    ):
        if not 0 <= value < 1:
            raise ValueError(f"optimizer.{name} must lie in [0, 1), got {value}")
    if arguments["ns_steps"] < 1:
        raise ValueError(f"optimizer.ns_steps must be at least 1, got {arguments['ns_steps']}; 5 is usual")
    for name, known in (("adjust_lr", ADJUSTMENTS), ("others", OTHERS)):
        if arguments[name] not in known:
            raise ValueError(f"optimizer.{name} must be {' or '.join(known)}, got {arguments[name]}")
