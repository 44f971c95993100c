"""What is minimised, what is scored, and what does not fit."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import tiny
import torch
from torch import Tensor, nn

from runner.losses import BinaryCrossEntropy
from runner.losses.terms import total
from runner.metrics import Metrics
from runner.tasks import GAN, Classification, Reconstruction, Task

IMAGES = torch.rand(6, 1, tiny.PIXELS, tiny.PIXELS, generator=torch.Generator().manual_seed(1))
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])


def scores_of(task: Task, batch: object) -> Mapping[str, float]:
    metrics = Metrics({})
    task.eval()
    with torch.no_grad():
        task.scores(batch, metrics)
    return metrics.compute()


def test_classification_is_the_loss_of_logits_and_labels() -> None:
    task = tiny.task_of("classification").eval()
    ((name, loss),) = task.losses((IMAGES, LABELS))
    expected = nn.functional.cross_entropy(task.networks()["model"](IMAGES), LABELS)
    assert name == "model"
    assert torch.equal(total(loss), expected)
    assert scores_of(task, (IMAGES, LABELS)) == {"loss": pytest.approx(expected.item())}


def test_reconstruction_does_not_look_at_labels() -> None:
    task = tiny.task_of("reconstruction").eval()
    with_labels, alone, without = ([total(loss).item() for _, loss in task.losses(batch)] for batch in batches())
    assert with_labels == alone == without
    assert scores_of(task, (IMAGES, LABELS)) == {"loss": pytest.approx(alone[0])}
    pictures = task.pictures((IMAGES, LABELS))
    assert torch.equal(pictures["input"], IMAGES)
    assert pictures["reconstruction"].shape == IMAGES.shape


def batches() -> tuple[object, object, object]:
    return (IMAGES, LABELS), (IMAGES,), IMAGES


def test_a_gan_judges_first_and_draws_second() -> None:
    task = tiny.task_of("gan")
    assert isinstance(task, GAN)
    assert list(task.networks()) == ["generator", "discriminator"]
    assert [name for name, _ in task.losses((IMAGES, LABELS))] == ["discriminator", "generator"]


def test_the_discriminators_loss_does_not_reach_the_generator() -> None:
    task = tiny.task_of("gan")
    losses = task.losses((IMAGES, LABELS))
    torch.autograd.backward(total(next(losses)[1]))
    grads = {name: parameter.grad for name, parameter in task.named_parameters()}
    assert all(grad is None for name, grad in grads.items() if name.startswith("generator"))
    assert all(grad is not None for name, grad in grads.items() if name.startswith("discriminator"))


def test_the_generators_loss_is_computed_after_the_discriminators_step() -> None:
    task = tiny.task_of("gan")
    torch.manual_seed(0)
    losses = task.losses((IMAGES, LABELS))
    next(losses)
    with torch.no_grad():
        for parameter in task.networks()["discriminator"].parameters():
            parameter.zero_()
    assert total(next(losses)[1]).item() == pytest.approx(0.6931472)  # what a discriminator that knows nothing says


def test_a_gan_is_scored_by_what_its_discriminator_says() -> None:
    task = tiny.task_of("gan")
    with torch.no_grad():
        for parameter in task.networks()["discriminator"].parameters():
            parameter.zero_()
    expected = {
        "discriminator_loss": pytest.approx(2 * 0.6931472),
        "generator_loss": pytest.approx(0.6931472),
        "real_score": 0.5,
        "fake_score": 0.5,
    }
    assert scores_of(task, (IMAGES, LABELS)) == expected


def test_pictures_of_a_gan_are_of_the_same_noise_each_time() -> None:
    task = tiny.task_of("gan").eval()
    first, second = (task.pictures((IMAGES, LABELS))["generated"] for _ in range(2))
    assert torch.equal(first, second)
    assert len(first) == 64


class Logits(nn.Module):
    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return (logits - labels).mean()


@pytest.mark.parametrize("loss", [nn.MSELoss(), nn.L1Loss(), nn.SmoothL1Loss(), nn.HuberLoss()])
def test_classification_refuses_a_loss_on_images(loss: nn.Module) -> None:
    with pytest.raises(ValueError, match=f"loss {type(loss).__name__} compares images.*set loss=cross_entropy"):
        Classification(nn.Flatten(), loss)


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), nn.NLLLoss()])
def test_tasks_on_images_refuse_a_loss_on_classes(loss: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"compares scores.*set loss=mse, l1 or smooth_l1"):
        Reconstruction(nn.Identity(), loss)
    with pytest.raises(ValueError, match=r"needs a loss on real-or-fake logits.*set loss=bce"):
        GAN(tiny.Pair(), loss)


def test_a_gan_refuses_a_model_without_two_networks() -> None:
    with pytest.raises(ValueError, match=r"needs a model with a generator.*got Flatten; set model=dcgan"):
        GAN(nn.Flatten(), BinaryCrossEntropy())


def test_a_loss_of_which_nothing_is_known_is_let_through() -> None:
    assert Classification(nn.Flatten(), Logits())
    assert Reconstruction(nn.Identity(), Logits())


def test_networks_are_the_children_that_have_something_to_train() -> None:
    task = tiny.task_of("gan")
    task.networks()["generator"].requires_grad_(False)
    assert list(task.networks()) == ["discriminator"]
    assert list(Classification(nn.Flatten(), nn.CrossEntropyLoss()).networks()) == []


def test_a_task_alone_says_nothing() -> None:
    with pytest.raises(NotImplementedError):
        next(iter(Task().losses(IMAGES)))
    with pytest.raises(NotImplementedError):
        Task().scores(IMAGES, Metrics({}))
    assert Task().pictures(IMAGES) == {}
