"""PIDNet: any size in, a logit for each class and pixel out."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from runner.models import PIDNet


def small(**settings: Any) -> PIDNet:
    torch.manual_seed(0)
    return PIDNet(**{"in_channels": 1, "num_classes": 3, "channels": 4, "blocks": 1, **settings})


@pytest.mark.parametrize("size", [(40, 32), (33, 20), (16, 16)])
def test_logits_have_the_size_of_the_image(size: tuple[int, int]) -> None:
    assert small()(torch.zeros(2, 1, *size)).shape == (2, 3, *size)


def test_each_branch_is_used() -> None:
    model = small(stem_halvings=2)
    model(torch.randn(2, 1, 32, 32)).square().mean().backward()
    unused = [name for name, one in model.named_parameters() if one.grad is None or not one.grad.any()]
    assert unused == []


@pytest.mark.slow
def test_it_learns_which_half_is_bright() -> None:
    model, generator = small(), torch.Generator().manual_seed(0)
    masks = torch.zeros(4, 16, 16, dtype=torch.int64)
    masks[:2, :, 8:], masks[2:, :8] = 1, 2
    images = masks.unsqueeze(1) + 0.1 * torch.randn(4, 1, 16, 16, generator=generator)
    losses = []
    for _ in range(25):
        losses.append(torch.nn.functional.cross_entropy(model(images), masks))
        model.zero_grad()
        torch.autograd.backward(losses[-1])
        with torch.no_grad():
            for parameter in model.parameters():
                assert parameter.grad is not None
                parameter.sub_(parameter.grad, alpha=0.3)
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize("name", ["channels", "blocks", "stem_halvings"])
def test_numbers_below_one(name: str) -> None:
    with pytest.raises(ValueError, match=f"model.{name} must be at least 1"):
        small(**{name: 0})


def test_other_tasks_are_refused() -> None:
    with pytest.raises(ValueError, match="set task=segmentation"):
        PIDNet(in_channels=1, num_classes=3, output="classes")
