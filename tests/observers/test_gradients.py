"""Gradients that are looked at: as the optimizer uses them, and only where an evaluation follows."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from runner.observers.gradients import LastGradients
from runner.observers.observer import RunInfo
from runner.optim.eager import eager
from runner.plan import Plan
from runner.tasks.task import Task

PLAN = Plan.of(steps_per_epoch=3, epochs=4)


class One(Task):
    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Linear(2, 1)


def step(task: One, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler, factor: float = 1.0) -> None:
    """The gradient of each weight is ``factor``, if it is finite."""
    loss = factor * (task.model.weight.sum() + task.model.bias.sum())
    torch.autograd.backward(scaler.scale(loss))
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad(set_to_none=True)


@pytest.mark.parametrize("fused", [False, True])
def test_the_loss_scale_is_taken_off(fused: bool) -> None:
    """A fused optimizer gets scaled gradients, and takes it off itself."""
    task, gradients, scaler = One(), LastGradients(), torch.amp.GradScaler("cpu", init_scale=1024.0)
    optimizer = eager(torch.optim.SGD)(task.model.parameters(), lr=0.1, fused=fused)
    gradients.started(RunInfo("one", None, task, PLAN, 0, optimizers={"model": optimizer}))
    for completed in range(1, 4):
        step(task, optimizer, scaler, factor=completed)
        gradients.stepped(completed)
        found = gradients.take()
        assert set(found) == ({"model.weight", "model.bias"} if completed == 3 else set())
    assert all(torch.equal(gradient, torch.full_like(gradient, 3.0)) for gradient in found.values())
    gradients.finished()
    step(task, optimizer, scaler)
    assert gradients.take() == {}


def test_a_run_that_goes_on_before_an_evaluation_is_seen_at_once() -> None:
    task, gradients, scaler = One(), LastGradients(), torch.amp.GradScaler("cpu", enabled=False)
    optimizer = torch.optim.SGD(task.model.parameters(), lr=0.1)
    gradients.started(RunInfo("one", None, task, PLAN, 5, optimizers={"model": optimizer}))
    step(task, optimizer, scaler)
    assert gradients.take().keys() == {"model.weight", "model.bias"}


def test_a_step_that_is_skipped_has_none() -> None:
    task, gradients, scaler = One(), LastGradients(), torch.amp.GradScaler("cpu")
    optimizer = torch.optim.SGD(task.model.parameters(), lr=0.1)
    gradients.started(RunInfo("one", None, task, PLAN, 2, optimizers={"model": optimizer}))
    step(task, optimizer, scaler, factor=float("inf"))
    assert gradients.take() == {}
