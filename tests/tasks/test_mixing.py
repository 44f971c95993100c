"""Mixup and cutmix."""

from __future__ import annotations

import pytest
import tiny
import torch
from torch import Tensor, nn

from runner.losses import CrossEntropy, Focal, WeightedSum
from runner.losses.terms import Loss, total
from runner.tasks import Classification
from runner.tasks.mixing import Mixing

IMAGES = torch.arange(4.0).reshape(4, 1, 1, 1).expand(4, 1, 8, 8)  # each of one value
LABELS = torch.arange(4)


class Seen(nn.Module):
    """Keeps what it is given; as logits the first pixels."""

    def forward(self, images: Tensor) -> Tensor:
        self.images = images
        return torch.zeros(len(images), 4).requires_grad_()


PLACES = torch.tensor([1.0, 10.0, 100.0, 1000.0])


def told(_logits: Tensor, labels: Tensor) -> Tensor:
    """In the place of a loss: which labels stand where, linear in them."""
    return labels.float() @ PLACES


@pytest.mark.parametrize("seed", range(5))
def test_mixup_averages_images_and_losses_alike(seed: int) -> None:
    torch.manual_seed(seed)
    model = Seen()
    mixing = Mixing(mixup_alpha=1.0)
    loss = mixing.loss(model, told, IMAGES, LABELS)
    values = model.images[:, 0, 0, 0]
    assert torch.equal(model.images, values.view(4, 1, 1, 1).expand_as(IMAGES))
    assert total(loss).item() == pytest.approx(float(values @ PLACES), rel=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_cutmix_counts_the_pixels(seed: int) -> None:
    torch.manual_seed(seed)
    model = Seen()
    loss = Mixing(cutmix_alpha=1.0).loss(model, told, IMAGES, LABELS)
    assert set(model.images.flatten().tolist()) <= {0.0, 1.0, 2.0, 3.0}
    means = model.images.mean((1, 2, 3))
    assert total(loss).item() == pytest.approx(float(means @ PLACES), rel=1e-5)


def test_with_both_a_coin_decides() -> None:
    kinds = set()
    for seed in range(12):
        torch.manual_seed(seed)
        model = Seen()
        Mixing(mixup_alpha=1.0, cutmix_alpha=1.0).loss(model, nn.CrossEntropyLoss(), IMAGES, LABELS)
        kinds.add(bool((model.images == model.images.round()).all()))
    assert kinds == {True, False}


def test_terms_are_mixed_one_by_one() -> None:
    torch.manual_seed(0)
    loss: Loss = Mixing(mixup_alpha=1.0).loss(
        Seen(), WeightedSum({"ce": CrossEntropy(), "focal": Focal()}), IMAGES, LABELS
    )
    assert isinstance(loss, dict)
    assert set(loss) == {"ce_loss", "focal_loss"}


def test_a_task_mixes_in_training_and_never_in_evaluations() -> None:
    model = Seen()
    task = Classification(model, nn.CrossEntropyLoss(), mixup_alpha=1.0)
    torch.manual_seed(0)
    list(task.losses((IMAGES, LABELS)))
    assert not torch.equal(model.images, IMAGES)
    plain = Classification(model, nn.CrossEntropyLoss())
    list(plain.losses((IMAGES, LABELS)))
    assert torch.equal(model.images, IMAGES)


def test_a_run_with_both_repeats() -> None:
    """Draws belong to the step."""

    def trained() -> object:
        own = tiny.task_of("classification")
        assert isinstance(own, Classification)
        task = Classification(own.model, own.loss, mixup_alpha=0.5, cutmix_alpha=1.0)
        made = tiny.session(task=task, steps=6)
        made.train()
        return made

    one, other = trained(), trained()
    assert tiny.differing(one, other) == []  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["mixup_alpha", "cutmix_alpha"])
def test_an_alpha_must_not_be_negative(name: str) -> None:
    with pytest.raises(ValueError, match=f"task.{name} must not be negative, got -1.0; 0 is none"):
        Mixing(**{name: -1.0})
