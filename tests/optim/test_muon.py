"""Muon against its definition, and against AdamW where it is AdamW."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from runner.optim import Muon
from runner.optim.muon import orthogonalise


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3))


def step(model: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(8, 2, 3, 3, generator=generator)
    optimizer.zero_grad()
    torch.autograd.backward(nn.functional.cross_entropy(model(images), torch.arange(8) % 3))
    optimizer.step()


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (6, 6)])
def test_orthogonalise_moves_singular_values_near_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    result = orthogonalise(matrix, steps=5)
    inner = u.mT @ result @ v.mT  # diagonal when the singular vectors are kept
    values = inner.diagonal()
    assert values.min() > 0.6
    assert values.max() < 1.25
    assert (inner - values.diag()).abs().max() < 1e-4


def test_a_matrix_takes_the_step_that_torch_takes() -> None:
    ours, theirs = nn.Linear(7, 5, bias=False), nn.Linear(7, 5, bias=False)
    theirs.load_state_dict(ours.state_dict())
    mine = Muon(ours.parameters(), lr=0.1, weight_decay=0.1)
    torchs = torch.optim.Muon(theirs.parameters(), lr=0.1, weight_decay=0.1)
    for seed in range(3):
        gradient = torch.randn(5, 7, generator=torch.Generator().manual_seed(seed))
        ours.weight.grad, theirs.weight.grad = gradient, gradient.clone()
        mine.step()
        torchs.step()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(ours.weight, theirs.weight, atol=2e-2, rtol=0)  # torch iterates in bfloat16


def test_a_convolution_is_stepped_as_a_matrix() -> None:
    kernel = nn.Parameter(torch.randn(8, 2, 3, 3))
    flat = nn.Parameter(kernel.detach().flatten(1).clone())
    kernel.grad = torch.randn(8, 2, 3, 3)
    flat.grad = kernel.grad.flatten(1).clone()
    for parameter in (kernel, flat):
        Muon([parameter]).step()
    assert torch.equal(kernel.flatten(1), flat)


def test_what_is_no_matrix_takes_adamw() -> None:
    def vector() -> nn.Parameter:
        return nn.Parameter(torch.linspace(-1, 1, 6))

    ours, theirs = vector(), vector()
    mine = Muon([ours], adamw_lr=0.01, adamw_betas=[0.8, 0.9], weight_decay=0.1)
    adamw = torch.optim.AdamW([theirs], lr=0.01, betas=(0.8, 0.9), weight_decay=0.1)
    for seed in range(4):
        gradient = torch.randn(6, generator=torch.Generator().manual_seed(seed))
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        mine.step()
        adamw.step()
    assert torch.equal(ours, theirs)


def test_what_is_no_matrix_takes_sgd_if_asked() -> None:
    ours, theirs = nn.Parameter(torch.linspace(-1, 1, 6)), nn.Parameter(torch.linspace(-1, 1, 6))
    mine = Muon([ours], others="sgd", sgd_lr=0.05, sgd_momentum=0.8, weight_decay=0.1)
    sgd = torch.optim.SGD([theirs], lr=0.05, momentum=0.8, nesterov=True, weight_decay=0.1)
    for seed in range(4):
        gradient = torch.randn(6, generator=torch.Generator().manual_seed(seed))
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        mine.step()
        sgd.step()
    assert torch.equal(ours, theirs)


def test_a_group_without_muon_takes_its_own_rate_under_sgd() -> None:
    parameters = list(network().parameters())
    groups: list[dict[str, Any]] = [{"params": parameters[:-1]}, {"params": parameters[-1:], "muon": False, "lr": 0.7}]
    optimizer = Muon(groups, lr=0.1, others="sgd", sgd_lr=0.2, adamw_lr=0.3)
    found = [(group["muon"], group["lr"]) for group in optimizer.param_groups]
    assert found == [(True, 0.1), (False, 0.2), (False, 0.7)]


@pytest.mark.parametrize("shape", [(4, 6), (8, 2, 3, 3)])
def test_a_normalised_matrix_has_the_norm_of_its_rows_before_its_step(shape: tuple[int, ...]) -> None:
    def stepped(factor: float, *, normalise: bool) -> Tensor:
        parameter = nn.Parameter(factor * torch.randn(shape, generator=torch.Generator().manual_seed(0)))
        parameter.grad = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        Muon([parameter], lr=0.1, normalise=normalise).step()
        return parameter.detach()

    update = stepped(0.0, normalise=False)
    start = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    expected = start * shape[0] ** 0.5 / start.norm() + update
    torch.testing.assert_close(stepped(1.0, normalise=True), expected)
    torch.testing.assert_close(stepped(30.0, normalise=True), expected)
    assert not torch.allclose(stepped(30.0, normalise=False), expected)
    assert torch.equal(stepped(0.0, normalise=True), update)  # of nothing, nothing is made


def test_groups_are_divided_by_what_steps_them() -> None:
    parameters = list(network().parameters())
    body, head = parameters[:-2], parameters[-2:]
    groups: list[dict[str, Any]] = [{"params": body}, {"params": head, "muon": False}]
    optimizer = Muon(groups, lr=0.1, adamw_lr=0.2)
    found = [(group["muon"], group["lr"], len(group["params"])) for group in optimizer.param_groups]
    assert found == [(True, 0.1, 1), (False, 0.2, 3), (False, 0.2, 2)]


@pytest.mark.parametrize("others", ["adamw", "sgd"])
def test_parameters_without_a_gradient_stay(others: str) -> None:
    model = network()
    before = [parameter.clone() for parameter in model.parameters()]
    Muon(model.parameters(), weight_decay=0.5, others=others).step()
    assert all(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("settings", [{}, {"others": "sgd", "normalise": True}], ids=str)
def test_resumes_to_the_bit(settings: dict[str, Any]) -> None:
    straight = network()
    optimizer = Muon(straight.parameters(), weight_decay=0.01, **settings)
    file = io.BytesIO()
    for seed in range(6):
        if seed == 3:
            torch.save({"model": straight.state_dict(), "optimizer": optimizer.state_dict()}, file)
        step(straight, optimizer, seed)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    resumed = network()
    resumed.load_state_dict(saved["model"])
    again = Muon(resumed.parameters(), weight_decay=0.01, **settings)
    again.load_state_dict(saved["optimizer"])
    for seed in range(3, 6):
        step(resumed, again, seed)
    assert all(torch.equal(a, b) for a, b in zip(straight.parameters(), resumed.parameters(), strict=True))


def test_it_learns() -> None:
    torch.manual_seed(0)
    model = network()
    optimizer = Muon(model.parameters(), lr=0.02)
    images, labels = torch.randn(32, 2, 3, 3), torch.arange(32) % 3

    def loss() -> Tensor:
        return nn.functional.cross_entropy(model(images), labels)

    first = loss().item()
    for _ in range(60):
        optimizer.zero_grad()
        torch.autograd.backward(loss())
        optimizer.step()
    assert loss().item() < first / 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": -1.0}, "lr must not be negative"),
        ({"momentum": 1.0}, "momentum must lie in"),
        ({"adamw_betas": [0.9, 1.0]}, "adamw_betas must lie in"),
        ({"ns_steps": 0}, "ns_steps must be at least 1"),
        ({"adjust_lr": "none"}, "adjust_lr must be"),
        ({"others": "adam"}, "others must be adamw or sgd, got adam"),
        ({"sgd_lr": -1.0}, "sgd_lr must not be negative"),
        ({"sgd_momentum": 1.0}, "sgd_momentum must lie in"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Muon([nn.Parameter(torch.zeros(2, 2))], **arguments)


def test_adjust_lr_scales_the_step() -> None:
    sizes = {}
    for adjust_lr in ("original", "match_rms_adamw"):
        weight = nn.Parameter(torch.zeros(16, 4))
        weight.grad = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
        Muon([weight], lr=1.0, adjust_lr=adjust_lr).step()
        sizes[adjust_lr] = weight.norm().item()
    assert sizes["match_rms_adamw"] / sizes["original"] == pytest.approx(0.2 * 4 / 2)
