"""One optimizer with what belongs to its step."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor, nn

from runner.optim import Constant
from runner.state import NonFiniteLoss
from runner.update import Update


def of(
    parameters: list[nn.Parameter],
    name: str = "model",
    *,
    alone: bool = True,
    clip_norm: float | None = None,
    clip_value: float | None = None,
) -> Update:
    optimizer = torch.optim.SGD(parameters, lr=1.0)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    return Update(
        name,
        optimizer,
        scheduler=Constant(),
        scaler=scaler,
        clip_norm=clip_norm,
        clip_value=clip_value,
        alone=alone,
    )


def test_a_step_is_taken_on_the_sum_of_the_parts() -> None:
    weight = nn.Parameter(torch.tensor([1.0, 2.0]))
    losses = of([weight]).apply([weight[0] * 0.25, weight[1] * 0.5])
    assert losses == {"train/loss": 1.25}
    assert not losses["train/loss"].requires_grad
    assert weight.tolist() == [0.75, 1.5]
    assert weight.grad is None


@pytest.mark.parametrize("alone", [True, False])
def test_terms_are_minimised_together_and_told_apart(alone: bool) -> None:
    weight = nn.Parameter(torch.tensor([1.0, 2.0]))
    parts = [{"l1": weight[0] * 0.25, "kl": weight[1] * 0.5}, {"l1": weight[0] * 0.25, "kl": weight[1] * 0.0}]
    losses = of([weight], alone=alone).apply(parts)
    prefix = "train/" if alone else "train/model_"
    assert losses == {f"{prefix}loss": 1.5, f"{prefix}l1": 0.5, f"{prefix}kl": 1.0}
    assert weight.tolist() == [0.5, 1.5]


def test_a_sum_that_is_not_finite_is_told_by_the_name_of_the_sum() -> None:
    weight = nn.Parameter(torch.ones(1))
    with pytest.raises(NonFiniteLoss, match="train/loss became nan"):
        of([weight]).apply([{"l1": weight.sum(), "kl": weight.sum() * math.nan}])


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([{"l1": 1.0}, {"kl": 1.0}], "the loss of 'model' must have the same terms for each batch, got l1 and then kl"),
        ([{}], "a loss needs at least one term, and none called 'loss', got none"),
        ([{"l1": 1.0, "loss": 1.0}], "a loss needs at least one term, and none called 'loss', got l1, loss"),
    ],
)
def test_terms_that_cannot_be_told_apart_are_refused(parts: list[dict[str, float]], message: str) -> None:
    weight = nn.Parameter(torch.ones(1))
    with pytest.raises(ValueError, match=message):
        of([weight]).apply([{name: weight.sum() * factor for name, factor in part.items()} for part in parts])


@pytest.mark.parametrize(
    ("limits", "step"),
    [
        ({}, [3.0, 4.0]),
        ({"clip_norm": 1.0}, [0.6, 0.8]),
        ({"clip_norm": 50.0}, [3.0, 4.0]),
        ({"clip_value": 1.0}, [1.0, 1.0]),
        ({"clip_value": 3.5}, [3.0, 3.5]),
        ({"clip_value": 1.0, "clip_norm": 1.0}, [0.5**0.5, 0.5**0.5]),
    ],
)
def test_gradients_are_clipped(limits: dict[str, Any], step: list[float]) -> None:
    weight = nn.Parameter(torch.zeros(2))
    of([weight], **limits).apply([3 * weight[0] + 4 * weight[1]])
    assert torch.allclose(-weight, torch.tensor(step), atol=1e-5)


def test_clipping_is_of_the_unscaled_gradients() -> None:
    """Under fp16's scaling the limit means the same."""
    weight = nn.Parameter(torch.zeros(2))
    update = of([weight], clip_norm=1.0)
    update.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    update.apply([3 * weight[0] + 4 * weight[1]])
    assert torch.allclose(-weight, torch.tensor([0.6, 0.8]), atol=1e-5)


def test_nothing_reaches_the_other_network() -> None:
    generator, discriminator = nn.Linear(2, 2), nn.Linear(2, 1)
    update = of(list(generator.parameters()), name="generator", alone=False)
    update.apply([discriminator(generator(torch.ones(3, 2))).mean()])
    assert all(parameter.grad is None for parameter in discriminator.parameters())
    assert all(parameter.grad is None for parameter in generator.parameters())


def test_the_plain_backward_would_have_reached_it() -> None:
    """What ``alone`` promises matters: told wrongly that it is alone, an update leaves gradients behind."""
    generator, discriminator = nn.Linear(2, 2), nn.Linear(2, 1)
    of(list(generator.parameters())).apply([discriminator(generator(torch.ones(3, 2))).mean()])
    assert all(parameter.grad is not None for parameter in discriminator.parameters())


def test_a_gan_step_leaves_no_gradient_anywhere() -> None:
    made = tiny.session("gan", steps=3)
    made.train()
    assert [name for name, parameter in made.task.named_parameters() if parameter.grad is not None] == []


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_non_finite_loss_takes_no_step_and_leaves_no_gradient(value: float) -> None:
    weight = nn.Parameter(torch.ones(1))
    update = of([weight])
    with pytest.raises(NonFiniteLoss, match="train/loss became"):
        update.apply([weight.sum(), weight.sum() * value])
    assert weight.item() == 1.0
    assert weight.grad is None


def test_labels_name_the_network_where_there_are_two() -> None:
    weight = nn.Parameter(torch.ones(1))
    assert (of([weight]).label, of([weight]).rate_label) == ("train/loss", "lr")
    two = of([weight], name="generator", alone=False)
    assert (two.label, two.rate_label) == ("train/generator_loss", "lr/generator")


@pytest.mark.parametrize("key", ["clip_norm", "clip_value"])
@pytest.mark.parametrize("limit", [0.0, -1.0])
def test_limits_must_be_positive(key: str, limit: float) -> None:
    limits: dict[str, Any] = {key: limit}
    with pytest.raises(ValueError, match=f"{key} must be positive, got {limit}"):
        of([nn.Parameter(torch.ones(1))], **limits)


def test_frozen_parameters_of_an_optimizer_are_passed_over() -> None:
    """A user's optimizer over all parameters of a network, some of them frozen."""
    weight, frozen = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1), requires_grad=False)
    update = of([weight, frozen], name="generator", alone=False)
    update.apply([(weight * frozen).sum()])
    assert (weight.item(), frozen.item()) == (0.0, 1.0)


def test_an_update_remembers_optimizer_schedule_and_scaler() -> None:
    def one() -> tuple[Update, Tensor]:
        weight = nn.Parameter(torch.ones(1))
        update = Update(
            "model",
            torch.optim.Adam([weight], lr=0.1),
            scheduler=Constant(),
            scaler=torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=2),
            alone=True,
        )
        return update, weight

    first, weight = one()
    for _ in range(3):
        first.apply([(weight**2).sum()])
    second, other = one()
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert second.scaler.get_scale() == first.scaler.get_scale() == 8.0
    with torch.no_grad():
        other.copy_(weight)
    assert first.apply([(weight**2).sum()]) == second.apply([(other**2).sum()])
    assert torch.equal(weight, other)
