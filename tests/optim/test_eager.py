"""The same optimizers, without torch's compiler."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from runner.optim.eager import eager

NAMES = ["SGD", "Adam", "AdamW", "NAdam", "RAdam", "Adagrad", "Adadelta", "RMSprop", "LBFGS"]


def trained(factory: Callable[..., Optimizer], steps: int = 3) -> tuple[Tensor, dict[str, Any]]:
    torch.manual_seed(0)
    layer = nn.Linear(4, 4)
    optimizer = factory(layer.parameters())
    inputs = torch.randn(8, 4)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = layer(inputs).square().mean()
        torch.autograd.backward(loss)
        return loss

    for _ in range(steps):
        optimizer.step(closure)  # type: ignore[arg-type]
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.step(closure)  # type: ignore[arg-type]
    return layer.weight.detach(), optimizer.state_dict()


@pytest.mark.parametrize("name", NAMES)
def test_weights_and_state_are_those_of_torchs_own(name: str) -> None:
    factory = functools.partial(getattr(torch.optim, name), lr=0.1)
    (theirs, _), (ours, state) = trained(factory), trained(eager(factory))
    assert torch.equal(theirs, ours)
    assert state["param_groups"][0]["lr"] == 0.1


def test_an_optimizer_of_ones_own_keeps_its_step() -> None:
    class Mine(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            self.steps = getattr(self, "steps", 0) + 1
            return super().step(closure)

    layer = nn.Linear(2, 2)
    made = eager(Mine)(layer.parameters(), lr=0.1)
    made.step()
    assert isinstance(made, Mine)
    assert made.steps == 1
    assert type(made).__name__ == "Mine"


def test_a_differentiable_step_records_gradients() -> None:
    rate = torch.tensor(0.1, requires_grad=True)
    weight = torch.ones(2, requires_grad=True) * 1.0
    made = eager(functools.partial(torch.optim.SGD, lr=rate, differentiable=True))([weight.detach().clone()])
    moved = made.param_groups[0]["params"][0]
    moved.grad = torch.ones(2)
    made.step()
    moved.sum().backward()
    assert rate.grad is not None


def test_any_other_factory_is_left_alone() -> None:
    def factory(parameters: Any) -> Optimizer:
        return torch.optim.SGD(parameters, lr=0.1)

    assert eager(factory) is factory


@pytest.mark.slow
def test_a_step_does_not_import_the_compiler() -> None:
    program = """
import sys, torch
from runner.optim.eager import eager
weight = torch.ones(2, requires_grad=True)
for kind in (torch.optim.SGD, torch.optim.AdamW):
    made = eager(kind)([weight], lr=0.1)
    weight.sum().backward()
    made.step(); made.zero_grad(); made.load_state_dict(made.state_dict())
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
