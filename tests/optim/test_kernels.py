"""One kernel for all parameters where the device has it, and whatever a checkpoint says."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

from runner.optim import build_optimizer

FUSED: list[Any] = [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW]


def built(factory: Callable[..., Optimizer], module: nn.Module) -> Optimizer:
    return build_optimizer(factory, module, groups={}, decay_norms_and_biases=True)


def stepped(module: nn.Module, optimizer: Optimizer) -> Optimizer:
    device = next(module.parameters()).device
    torch.autograd.backward(module(torch.ones(4, 3, device=device)).sum())
    optimizer.step()
    optimizer.zero_grad()
    return optimizer


def chosen(optimizer: Optimizer) -> list[Any]:
    return [group["fused"] for group in optimizer.param_groups]


@pytest.mark.parametrize("kind", FUSED)
@pytest.mark.parametrize(("device", "expected"), [("cpu", True), ("meta", None)])
def test_the_kernel_is_fused_where_there_is_one(kind: Any, device: str, expected: bool | None) -> None:
    factory = functools.partial(kind, lr=0.1, fused=None)
    assert chosen(built(factory, nn.Linear(3, 2, device=device))) == [expected]


@pytest.mark.parametrize("settings", [{"fused": False}, {"foreach": True}, {"foreach": False}])
@pytest.mark.parametrize("kind", FUSED)
def test_a_choice_in_the_configuration_counts(kind: Any, settings: dict[str, bool]) -> None:
    (fused,) = chosen(built(functools.partial(kind, lr=0.1, **settings), nn.Linear(3, 2)))
    assert not fused


@pytest.mark.parametrize("module", [nn.Embedding(4, 2, sparse=True), nn.Linear(3, 2, dtype=torch.complex64)])
def test_what_the_kernel_cannot_do_is_left_to_torch(module: nn.Module) -> None:
    assert chosen(built(functools.partial(torch.optim.SGD, lr=0.1), module)) == [None]


@pytest.mark.parametrize("kind", FUSED)
def test_the_weights_are_those_of_the_other_implementations(kind: Any) -> None:
    def trained(**settings: Any) -> torch.Tensor:
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))
        optimizer = built(functools.partial(kind, lr=0.01, weight_decay=0.1, **settings), module)
        for _ in range(5):
            stepped(module, optimizer)
        return nn.utils.parameters_to_vector(module.parameters()).detach()

    torch.testing.assert_close(trained(), trained(fused=False))


@pytest.mark.parametrize(("saved", "own"), [(False, True), (True, False)])
@pytest.mark.parametrize("kind", FUSED)
def test_a_loaded_state_keeps_the_optimizers_own_choice(kind: Any, saved: bool, own: bool) -> None:
    module = nn.Linear(3, 2)
    theirs, ours = (
        built(functools.partial(kind, lr=rate, fused=fused), module) for rate, fused in ((0.5, saved), (0.1, own))
    )
    ours.load_state_dict(stepped(module, theirs).state_dict())
    assert chosen(ours) == [own]
    assert ours.param_groups[0]["lr"] == 0.5
    assert ours.state_dict()["state"].keys() == theirs.state_dict()["state"].keys()
    stepped(module, ours)


def test_another_number_of_groups_is_still_refused() -> None:
    module = nn.Linear(3, 2)
    groups: list[dict[str, Any]] = [{"params": [module.weight]}, {"params": [module.bias]}]
    two = torch.optim.SGD(groups, lr=0.1)
    with pytest.raises(ValueError, match="different number of parameter groups"):
        built(functools.partial(torch.optim.SGD, lr=0.1), module).load_state_dict(two.state_dict())


@pytest.mark.gpu
@pytest.mark.parametrize("kind", FUSED)
def test_a_gpu_gets_the_fused_kernel_and_the_same_weights(kind: Any) -> None:
    def trained(device: str, **settings: Any) -> tuple[list[Any], torch.Tensor]:
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).to(device)
        optimizer = built(functools.partial(kind, lr=0.01, **settings), module)
        for _ in range(5):
            stepped(module, optimizer)
        return chosen(optimizer), nn.utils.parameters_to_vector(module.parameters()).detach().cpu()

    fused, weights = trained("cuda", fused=None)
    assert fused == [True]
    for other, expected in ((trained("cuda", fused=False)), trained("cuda", foreach=True), trained("cpu")):
        assert other != [True]
        torch.testing.assert_close(weights, expected)


@pytest.mark.gpu
def test_what_a_gpu_cannot_fuse_is_left() -> None:
    embedding = nn.Embedding(4, 2, sparse=True, device="cuda")
    optimizer = built(functools.partial(torch.optim.SGD, lr=0.1), embedding)
    torch.autograd.backward(embedding(torch.tensor([1, 2], device="cuda")).sum())
    optimizer.step()
    assert chosen(optimizer) == [None]
    assert "fused" not in built(functools.partial(torch.optim.RMSprop, lr=0.1), nn.Linear(3, 2).cuda()).defaults


@pytest.mark.gpu
@pytest.mark.parametrize("kind", FUSED)
def test_a_state_goes_from_device_to_device(kind: Any) -> None:
    module = nn.Linear(3, 2)
    state = stepped(module, built(functools.partial(kind, lr=0.1), module)).state_dict()
    there = nn.Linear(3, 2).cuda()
    moved = built(functools.partial(kind, lr=0.1), there)
    moved.load_state_dict(state)
    assert chosen(moved) == [True]
    back = built(functools.partial(kind, lr=0.1), module)
    saved = stepped(there, moved).state_dict()
    torch.save(saved, file := io.BytesIO())
    back.load_state_dict(torch.load(io.BytesIO(file.getvalue()), map_location="cpu", weights_only=True))
    assert chosen(back) == [None]
    stepped(module, back)
