"""Losses against their formulas."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hydra.utils import get_object, instantiate
from omegaconf import OmegaConf
from torch import nn

from runner.losses import BinaryCrossEntropy, CrossEntropy, Focal, NegativeLogLikelihood, targets_of
from runner.losses.terms import total

CONF = Path(__file__).parents[2] / "conf" / "loss"
OPTIONS = sorted(path.stem for path in CONF.glob("*.yaml"))
LOGITS = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 3, 1, 1])
OVERLAPS = {"bce_dice", "cldice", "dice", "generalised_dice", "tversky"}
WEIGHT = [0.5, 1.0, 2.0, 0.0]


def test_cross_entropy_is_torchs_with_weights_from_a_list() -> None:
    loss = CrossEntropy(weight=WEIGHT, label_smoothing=0.1, ignore_index=2)(LOGITS, LABELS)
    expected = F.cross_entropy(LOGITS, LABELS, weight=torch.tensor(WEIGHT), label_smoothing=0.1, ignore_index=2)
    assert torch.equal(loss, expected)


def test_weights_are_not_part_of_a_checkpoint_but_move_with_the_loss() -> None:
    loss = CrossEntropy(weight=[1, 2, 3, 4])
    assert not loss.state_dict()
    assert loss.weight is not None
    assert loss.weight.dtype == torch.float32
    moved = loss.to("meta").weight
    assert moved is not None
    assert moved.is_meta


def test_nll_takes_logits_or_log_probabilities() -> None:
    expected = F.cross_entropy(LOGITS, LABELS)
    torch.testing.assert_close(NegativeLogLikelihood()(LOGITS, LABELS), expected)
    from_model = NegativeLogLikelihood(from_logits=False)(LOGITS.log_softmax(1), LABELS)
    torch.testing.assert_close(from_model, expected)
    assert not torch.isclose(NegativeLogLikelihood(from_logits=False)(LOGITS, LABELS), expected)


def test_focal_is_its_formula() -> None:
    p = LOGITS.double().softmax(1)[range(6), LABELS]
    alpha = torch.tensor(WEIGHT).double()[LABELS]
    expected = (-alpha * (1 - p) ** 1.5 * p.log()).mean()
    loss = Focal(gamma=1.5, alpha=WEIGHT)(LOGITS.double(), LABELS)
    torch.testing.assert_close(loss, expected)


def test_focal_without_gamma_is_cross_entropy_also_on_pixels() -> None:
    logits = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(40).reshape(2, 4, 5) % 3
    labels[0, 0] = 255
    torch.testing.assert_close(
        Focal(gamma=0.0, ignore_index=255)(logits, labels), F.cross_entropy(logits, labels, ignore_index=255)
    )


def test_focal_has_a_gradient_where_the_model_is_certain() -> None:
    logits = torch.tensor([[1000.0, 0.0]], requires_grad=True)
    torch.autograd.backward(Focal(gamma=0.5)(logits, torch.tensor([0])))
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_bce_uses_targets_of_the_logits_shape_as_they_are() -> None:
    images = torch.rand(2, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    logits = torch.randn(2, 1, 3, 3, generator=torch.Generator().manual_seed(1))
    expected = -(images * logits.sigmoid().log() + (1 - images) * (1 - logits.sigmoid()).log()).mean()
    torch.testing.assert_close(BinaryCrossEntropy()(logits, images), expected)
    real = BinaryCrossEntropy()(logits.flatten(), torch.ones(18, dtype=torch.long))
    torch.testing.assert_close(real, -logits.sigmoid().log().mean())


def test_bce_makes_labels_one_hot() -> None:
    expected = F.binary_cross_entropy_with_logits(LOGITS, F.one_hot(LABELS, 4).float())
    torch.testing.assert_close(BinaryCrossEntropy()(LOGITS, LABELS), expected)
    one = BinaryCrossEntropy()(LOGITS[:, :1], LABELS.clamp(max=1))
    expected = F.binary_cross_entropy_with_logits(LOGITS[:, 0], LABELS.clamp(max=1).float())
    torch.testing.assert_close(one, expected)
    pixels = torch.randn(2, 3, 4, 4)
    labels = torch.arange(32).reshape(2, 4, 4) % 3
    expected = F.binary_cross_entropy_with_logits(pixels, F.one_hot(labels, 3).movedim(-1, 1).float())
    torch.testing.assert_close(BinaryCrossEntropy()(pixels, labels), expected)


def test_bce_refuses_shapes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"logits \(6, 4\).*got \(5,\)"):
        BinaryCrossEntropy()(LOGITS, LABELS[:5])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CrossEntropy(weight=[1.0, 2.0], num_classes=3), r"loss\.weight needs .* 3 classes, got 2"),
        (lambda: NegativeLogLikelihood(weight=[1.0, -2.0]), "must not be negative, got -2"),
        (lambda: Focal(alpha=[1.0], num_classes=2), r"loss\.alpha needs"),
        (lambda: Focal(gamma=-1.0), r"loss\.gamma must not be negative"),
        (lambda: CrossEntropy(label_smoothing=1.5), r"label_smoothing must lie in \[0, 1\], got 1.5"),
    ],
)
def test_bad_arguments_are_refused(make: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_the_options_are_those_promised() -> None:
    adversarial = {"gan_hinge", "gan_least_squares", "gan_vanilla", "gan_wasserstein"}
    of_images = {"mse", "l1", "smooth_l1", "ssim", "l1_ssim"}
    assert {"cross_entropy", "nll", "bce", "focal", *of_images, *adversarial, *OVERLAPS} <= set(OPTIONS)


@pytest.mark.parametrize("option", [option for option in OPTIONS if not option.startswith(("gan_", "detector"))])
def test_an_option_runs_on_meta_tensors(option: str) -> None:
    loss = instantiate(OmegaConf.load(CONF / f"{option}.yaml"), _convert_="all").to("meta")
    logits = torch.empty(3, 4, device="meta", requires_grad=True)
    images = torch.empty(3, 1, 16, 16, device="meta", requires_grad=True)
    labels = torch.empty(3, dtype=torch.long, device="meta")
    if option in OVERLAPS:
        logits = torch.empty(3, 4, 16, 16, device="meta", requires_grad=True)
        labels = torch.empty(3, 16, 16, dtype=torch.long, device="meta")
    compared = {"classes": [(logits, labels)], "image": [(images, images)], "any": [(logits, labels), (logits, logits)]}
    for predictions, targets in compared[targets_of(loss)]:
        value = total(loss(predictions, targets))
        assert value.shape == ()
        torch.autograd.backward(value)


@pytest.mark.parametrize("option", ["cross_entropy", "nll", "focal", "bce", *sorted(OVERLAPS - {"bce_dice"})])
def test_an_option_shows_every_value(option: str) -> None:
    values: Any = OmegaConf.to_container(OmegaConf.load(CONF / f"{option}.yaml"))
    target = get_object(values.pop("_target_"))
    assert set(values) == set(inspect.signature(target).parameters) - {"num_classes", "args", "kwargs"}


def test_targets_of_knows_ours_torchs_and_says_any_of_others() -> None:
    assert targets_of(Focal()) == targets_of(nn.CrossEntropyLoss()) == "classes"
    assert targets_of(nn.MSELoss()) == targets_of(nn.SmoothL1Loss()) == "image"
    assert targets_of(BinaryCrossEntropy()) == targets_of(nn.BCEWithLogitsLoss()) == "any"
    assert targets_of(nn.Identity()) == "any"
