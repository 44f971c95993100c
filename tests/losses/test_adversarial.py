"""Losses of adversaries against their formulas."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from runner.losses import AdversarialLoss, BinaryCrossEntropy, Hinge, LeastSquares, Vanilla, Wasserstein
from runner.losses.adversarial import Elementwise

REAL = torch.tensor([1.5, -0.5, 0.25])
DRAWN = torch.tensor([-2.0, 0.5, 0.0])


def test_vanilla_is_binary_cross_entropy_of_real_and_drawn() -> None:
    told = Elementwise(BinaryCrossEntropy())
    torch.testing.assert_close(Vanilla().discriminator(REAL, DRAWN), told.discriminator(REAL, DRAWN))
    torch.testing.assert_close(Vanilla().generator(DRAWN), told.generator(DRAWN))
    expected = -REAL.sigmoid().log().mean() - (1 - DRAWN.sigmoid()).log().mean()
    torch.testing.assert_close(Vanilla().discriminator(REAL, DRAWN), expected)
    assert torch.equal(Vanilla().reality(REAL), REAL.sigmoid())


@pytest.mark.parametrize(
    ("loss", "discriminator", "generator"),
    [
        (LeastSquares(), (0.25 + 2.25 + 0.5625) / 6 + (4 + 0.25 + 0) / 6, (9 + 0.25 + 1) / 6),
        (Hinge(), (0 + 1.5 + 0.75) / 3 + (0 + 1.5 + 1) / 3, 0.5),
        (Wasserstein(), -0.5 - 1.25 / 3, 0.5),
    ],
)
def test_each_is_its_formula(loss: AdversarialLoss, discriminator: float, generator: float) -> None:
    assert loss.discriminator(REAL, DRAWN).item() == pytest.approx(discriminator)
    assert loss.generator(DRAWN).item() == pytest.approx(generator)
    assert torch.equal(loss.reality(REAL), REAL)


@pytest.mark.parametrize("loss", [Vanilla(), LeastSquares(), Hinge(), Wasserstein()])
def test_the_generator_gains_where_the_discriminator_says_more(loss: AdversarialLoss) -> None:
    """And the discriminator by telling the two apart."""
    unsure = torch.tensor([0.2, 0.6])
    assert loss.generator(unsure + 0.1) < loss.generator(unsure)
    assert loss.discriminator(unsure + 0.1, unsure - 0.1) < loss.discriminator(unsure, unsure)


class Linear(nn.Module):
    """One number a sample, whose gradient has the norm ``steepness`` everywhere."""

    def __init__(self, steepness: float) -> None:
        super().__init__()
        weights = torch.ones(12)
        self.weights = nn.Parameter(steepness * weights / weights.norm())

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.weights


@pytest.mark.parametrize(("steepness", "expected"), [(1.0, 0.0), (3.0, 4.0), (0.5, 0.25)])
def test_the_penalty_is_the_distance_of_the_slope_from_one(steepness: float, expected: float) -> None:
    judge = Linear(steepness)
    real, drawn = torch.randn(2, 5, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    penalty = Wasserstein().penalty(judge, real, drawn)
    assert penalty.item() == pytest.approx(expected, abs=1e-6)
    penalty.backward()  # type: ignore[no-untyped-call]
    assert judge.weights.grad is not None
    assert judge.weights.grad.norm().item() == pytest.approx(2 * abs(steepness - 1), abs=1e-5)


def test_the_penalty_is_taken_between_real_and_drawn() -> None:
    """Where the judge is flat on one side and steep on the other, the slope lies between."""

    def judge(images: Tensor) -> Tensor:
        return images.flatten(1).clamp(min=0).sum(1)

    ones = torch.ones(200, 1, 1, 1)
    torch.manual_seed(0)
    flat, steep, both = (
        Wasserstein().penalty(judge, a, b).item() for a, b in ((-ones, -ones), (ones, ones), (ones, -ones))
    )
    assert (flat, steep) == (1, 0)
    assert 0.4 < both < 0.6


def test_only_one_has_a_penalty() -> None:
    assert Wasserstein().penalty_weight == 10
    assert [loss.penalty_weight for loss in (Vanilla(), LeastSquares(), Hinge(), Wasserstein(gradient_penalty=0))] == [
        0
    ] * 4
    with pytest.raises(ValueError, match=r"loss\.gradient_penalty must not be negative, got -1"):
        Wasserstein(gradient_penalty=-1)


def test_they_are_no_losses_of_predictions_and_targets() -> None:
    with pytest.raises(ValueError, match=r"loss Hinge compares what a discriminator says.*set task=gan"):
        Hinge()(REAL, DRAWN)


@pytest.mark.parametrize("loss", [Vanilla(), LeastSquares(), Hinge(), Wasserstein()])
def test_each_runs_on_meta_tensors(loss: AdversarialLoss) -> None:
    judge = nn.Sequential(nn.Flatten(), nn.Linear(4, 1)).to("meta")
    real, drawn = torch.empty(2, 3, 1, 2, 2, device="meta")
    for value in (loss.discriminator(judge(real), judge(drawn)), loss.generator(judge(drawn))):
        assert value.shape == ()
    torch.autograd.backward(value + loss.penalty(judge, real, drawn))
