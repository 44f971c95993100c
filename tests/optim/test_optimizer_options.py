"""Every option of ``optimizer/`` and ``scheduler/`` builds what it names and takes steps."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import get_object
from omegaconf import OmegaConf
from torch import nn

from runner.optim import build_optimizer
from runner.plan import Plan

CONF = Path(__file__).parents[2] / "conf"
OPTIMIZERS = sorted(path.stem for path in (CONF / "optimizer").glob("*.yaml"))
SCHEDULERS = sorted(path.stem for path in (CONF / "scheduler").glob("*.yaml"))


def read(option: str) -> tuple[Any, dict[str, Any]]:
    """The target of an option, and the arguments it sets."""
    values = OmegaConf.to_container(OmegaConf.load(CONF / f"{option}.yaml"))
    assert isinstance(values, dict)
    assert values.pop("_partial_") is True
    return get_object(values.pop("_target_")), {str(key): value for key, value in values.items()}


def optimizer_of(option: str, module: nn.Module) -> torch.optim.Optimizer:
    target, values = read(f"optimizer/{option}")
    groups, decay = values.pop("groups"), values.pop("decay_norms_and_biases")
    return build_optimizer(
        lambda divided: target(divided, **values), module, groups=groups, decay_norms_and_biases=decay
    )


def test_the_options_are_those_promised() -> None:
    assert sorted(["sgd", "adam", "adamw", "rmsprop", "nadam", "radam", "adagrad", "adadelta", "muon"]) == OPTIMIZERS


@pytest.mark.parametrize("option", OPTIMIZERS)
def test_an_optimizer_lowers_the_loss(option: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))
    optimizer = optimizer_of(option, model)
    images, labels = torch.randn(16, 1, 4, 4), torch.arange(16) % 2
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("optimizer_option", OPTIMIZERS)
@pytest.mark.parametrize("option", SCHEDULERS)
def test_a_schedule_fits_every_optimizer(option: str, optimizer_option: str) -> None:
    model = nn.Linear(3, 2)
    optimizer = optimizer_of(optimizer_option, model)
    target, values = read(f"scheduler/{option}")
    if "cycle_momentum" in values:
        values["cycle_momentum"] = optimizer_option not in ("adagrad", "adadelta")
    schedule = target(optimizer, plan=Plan.of(2, steps=2), **values)
    for _ in range(2):
        torch.autograd.backward(model(torch.ones(4, 3)).sum())
        optimizer.step()
        schedule.step()
    schedule.evaluated({"valid/loss": 1.0})
    assert all(group["lr"] >= 0 for group in optimizer.param_groups)


@pytest.mark.parametrize("option", SCHEDULERS)
def test_a_scheduler_option_shows_every_value(option: str) -> None:
    target, values = read(f"scheduler/{option}")
    assert set(values) == set(inspect.signature(target).parameters) - {"optimizer", "plan"}
