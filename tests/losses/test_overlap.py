"""Losses on regions against numbers worked out by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from runner.losses import BinaryCrossEntropy, ClDice, CrossEntropy, Dice, Focal, GeneralisedDice, Tversky, WeightedSum
from runner.losses.skeleton import soft_skeleton

P = torch.tensor([[0.9, 0.4], [0.2, 0.1]], dtype=torch.float64)  # of class 1
LABELS = torch.tensor([[[1, 1], [0, 0]]])
LOGITS = torch.stack([1 - P, P]).log().unsqueeze(0)
OVERLAPS: dict[str, Callable[[], nn.Module]] = {
    "dice": Dice,
    "generalised_dice": GeneralisedDice,
    "tversky": Tversky,
    "cldice": ClDice,
}
each = pytest.mark.parametrize("loss", [made() for made in OVERLAPS.values()], ids=OVERLAPS)


def near(loss: Tensor, expected: float) -> bool:
    return abs(float(loss) - expected) < 1e-5


def noise(*shape: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    batch, _, *size = shape
    return torch.randn(shape, generator=generator), torch.randint(3, (batch, *size), generator=generator)


def test_dice() -> None:
    assert near(Dice()(LOGITS, LABELS), 1 - (3.6 / 4.02 + 4.4 / 4.82) / 2)
    assert near(Dice(background=False)(LOGITS, LABELS), 1 - 3.6 / 4.02)
    assert near(Dice(squared=False, background=False)(LOGITS, LABELS), 1 - 3.6 / 4.6)


def test_generalised_dice_weighs_small_regions_as_large_ones() -> None:
    assert near(GeneralisedDice()(LOGITS, LABELS), 0.25)
    one_pixel = torch.tensor([[[1, 0], [0, 0]]])  # weights 1 and 1/9
    assert near(GeneralisedDice()(LOGITS, one_pixel), 1 - 2 * (0.9 + 2.3 / 9) / (2.6 + 5.4 / 9))


def test_generalised_dice_of_a_class_that_is_not_there() -> None:
    none = torch.zeros(1, 2, 2, dtype=torch.int64)  # class 1 weighs as class 0 does, 1/16
    assert near(GeneralisedDice()(LOGITS, none), 1 - 2 * 2.4 / (1.6 + 2.4 + 4))


def test_tversky() -> None:
    assert near(Tversky()(LOGITS, LABELS), 1 - (2.3 / 2.88 + 2.7 / 3.12) / 2)
    of_dice = Dice(squared=False, smooth=2.0)(LOGITS, LABELS)
    assert near(Tversky(alpha=0.5, beta=0.5)(LOGITS, LABELS), float(of_dice))


def test_a_skeleton_is_the_line_in_the_middle() -> None:
    bar, line = torch.zeros(1, 1, 7, 9), torch.zeros(1, 1, 7, 9)
    bar[..., 2:5, 1:8], line[..., 3, 2:7] = 1, 1
    assert torch.equal(soft_skeleton(bar, iterations=2), line)
    deep, deep_line = torch.zeros(1, 1, 7, 7, 9), torch.zeros(1, 1, 7, 7, 9)
    deep[..., 2:5, 2:5, 1:8], deep_line[..., 3, 3, 2:7] = 1, 1
    assert torch.equal(soft_skeleton(deep, iterations=2), deep_line)


def test_cldice_sees_whether_a_line_is_broken() -> None:
    """Three wrong pixels each: across the line, and along its edge."""
    truth = torch.zeros(1, 9, 15, dtype=torch.int64)
    truth[:, 3:6, 1:14] = 1
    broken, frayed = truth.clone(), truth.clone()
    broken[:, 3:6, 7], frayed[:, 3, 5:8] = 0, 0

    def of(loss: nn.Module, found: Tensor) -> float:
        logits = 20 * (2.0 * torch.stack([1 - found, found], 1) - 1)
        return float(loss(logits, truth))

    assert of(ClDice(), truth) < 1e-5
    assert of(Dice(), broken) == pytest.approx(of(Dice(), frayed))
    assert of(ClDice(alpha=1), broken) > 2 * of(ClDice(alpha=1), frayed)
    assert of(ClDice(alpha=0), broken) == pytest.approx(of(Dice(background=False, squared=False), broken))


@each
def test_ignored_places_do_not_count(loss: nn.Module) -> None:
    logits, labels = noise(2, 3, 6, 5)
    labels[:, 4:] = -100
    logits.requires_grad_()
    loss(logits, labels).backward()
    assert logits.grad is not None
    assert logits.grad[:, :, :3].abs().min() > 0
    assert not logits.grad[:, :, 4:].any()
    if not isinstance(loss, ClDice):  # where an image ends is not where a region does
        torch.testing.assert_close(loss(logits, labels), loss(logits[:, :, :4], labels[:, :4]))


@each
def test_a_batch_is_the_mean_of_its_samples(loss: nn.Module) -> None:
    logits, labels = noise(3, 3, 4, 5)
    alone = [loss(logits[i : i + 1], labels[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(loss(logits, labels), torch.stack(alone).mean())


@each
def test_volumes(loss: nn.Module) -> None:
    logits, labels = noise(2, 3, 4, 5, 6)
    value = loss(logits, labels)
    assert 0 < value < 1
    if not isinstance(loss, ClDice):  # which looks at neighbours
        torch.testing.assert_close(value, loss(logits.flatten(2, 3), labels.flatten(1, 2)))


@each
def test_a_step_downhill_is_one(loss: nn.Module) -> None:
    logits, labels = noise(2, 3, 8, 8)
    logits.requires_grad_()
    before = loss(logits, labels)
    before.backward()
    assert logits.grad is not None
    assert loss(logits - 10 * logits.grad, labels) < before


@each
def test_what_is_no_mask_is_refused(loss: nn.Module) -> None:
    with pytest.raises(ValueError, match="set task=segmentation"):
        loss(torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64))


@pytest.mark.parametrize("loss", [CrossEntropy(weight=[1, 2, 3]), Focal(alpha=[1, 2, 3]), BinaryCrossEntropy()])
def test_losses_on_classes_leave_ignored_pixels_out(loss: nn.Module) -> None:
    logits, labels = noise(2, 3, 6, 5)
    labels[:, 3:] = -100
    share = 0.5 if isinstance(loss, BinaryCrossEntropy) else 1.0  # a mean over all places
    torch.testing.assert_close(loss(logits, labels), share * loss(logits[:, :, :3], labels[:, :3]))


def test_a_sum_gives_terms() -> None:
    logits, labels = noise(2, 3, 6, 5)
    terms = WeightedSum({"bce": BinaryCrossEntropy(), "dice": Dice()}, weights={"bce": 0.5})(logits, labels)
    torch.testing.assert_close(terms["bce_loss"], 0.5 * BinaryCrossEntropy()(logits, labels))
    torch.testing.assert_close(terms["dice_loss"], Dice()(logits, labels))


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Dice(smooth=0), "loss.smooth"),
        (lambda: Tversky(beta=-1), "loss.beta"),
        (lambda: ClDice(alpha=2), "loss.alpha"),
        (lambda: ClDice(iterations=0), "loss.iterations"),
    ],
)
def test_settings_out_of_range(make: Callable[[], nn.Module], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        make()
