"""Autoencoders of several kinds: what each minimises, in which order, and what each refuses."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import tiny
import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from runner import models
from runner.losses import BinaryCrossEntropy
from runner.losses.terms import total
from runner.metrics import Metrics, mse
from runner.models import CAE
from runner.tasks import AAE, VAE, Novelty, Reconstruction, Task
from runner.tasks.vae import divergence

IMAGES = torch.rand(6, 1, tiny.PIXELS, tiny.PIXELS, generator=torch.Generator().manual_seed(1))
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])
BATCH = (IMAGES, LABELS)
SIZES = {"in_channels": 1, "image_size": (tiny.PIXELS, tiny.PIXELS)}


def cae(**settings: object) -> CAE:
    return CAE(**{**SIZES, "channels": [4], "latent_dim": 3, **settings})  # type: ignore[arg-type]


def scored(task: Task, metrics: Metrics | None = None) -> dict[str, float]:
    metrics = metrics or Metrics({})
    task.eval()
    with torch.no_grad():
        task.scores(BATCH, metrics)
    return metrics.compute()


# --- denoising


class Keeping(nn.Module):
    """The identity, which remembers what it was given."""

    def forward(self, images: Tensor) -> Tensor:
        self.given = images
        return images


def test_noise_comes_over_what_the_model_is_given_and_not_over_the_target() -> None:
    model = Keeping()
    images = torch.full((50, 2, 20, 20), 0.5)
    ((_, loss),) = Reconstruction(model, nn.MSELoss(), noise_std=0.3).losses((images,))
    assert total(loss).item() == pytest.approx(0.09, rel=0.05)
    assert (model.given - images).std().item() == pytest.approx(0.3, rel=0.05)


def test_a_mask_takes_whole_pixels() -> None:
    model = Keeping()
    images = torch.full((50, 2, 20, 20), 0.5)
    next(iter(Reconstruction(model, nn.MSELoss(), mask_fraction=0.25).losses((images,))))
    gone = model.given == 0
    assert gone.float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert torch.equal(gone[:, 0], gone[:, 1])
    assert torch.equal(model.given[~gone], images[~gone])


def test_noise_is_in_evaluations_and_in_pictures() -> None:
    task = Reconstruction(Keeping(), nn.MSELoss(), noise_std=0.3)
    assert scored(task)["loss"] == pytest.approx(0.09, rel=0.3)
    assert list(task.pictures(BATCH)) == ["input", "corrupted", "reconstruction", "error"]
    assert list(Reconstruction(Keeping(), nn.MSELoss()).pictures(BATCH)) == ["input", "reconstruction", "error"]


@pytest.mark.parametrize(("name", "value"), [("noise_std", -0.1), ("mask_fraction", 1.0), ("mask_fraction", -0.1)])
def test_noise_that_is_none_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"task.{name} must .* got {value}"):
        Reconstruction(Keeping(), nn.MSELoss(), **{name: value})  # type: ignore[arg-type]


# --- binary cross-entropy of pixels


def test_binary_cross_entropy_is_of_logits_and_shown_as_probabilities() -> None:
    task = Reconstruction(nn.Hardtanh(-5, 5), BinaryCrossEntropy(), pixel_range=(0.0, 1.0))
    ((_, loss),) = task.losses(BATCH)
    assert total(loss).item() == pytest.approx(nn.functional.binary_cross_entropy(IMAGES.sigmoid(), IMAGES).item())
    found = scored(task, Metrics({"mse": mse()}))
    assert found["mse"] == pytest.approx((IMAGES.sigmoid() - IMAGES).square().mean().item())
    assert torch.equal(task.pictures(BATCH)["reconstruction"], IMAGES.sigmoid())


@pytest.mark.parametrize("kind", ["reconstruction", "vae", "aae", "novelty"])
def test_binary_cross_entropy_needs_probabilities(kind: str) -> None:
    makers: dict[str, Callable[..., Task]] = {
        "reconstruction": lambda **facts: Reconstruction(cae(), BinaryCrossEntropy(), **facts),
        "vae": lambda **facts: VAE(models.VAE(**SIZES), BinaryCrossEntropy(), **facts),  # type: ignore[arg-type]
        "aae": lambda **facts: AAE(
            models.AAE(**SIZES, num_classes=3),  # type: ignore[arg-type]
            BinaryCrossEntropy(),
            **facts,
        ),
        "novelty": lambda **facts: Novelty(cae(), BinaryCrossEntropy(), novel_classes=[1], **facts),
    }
    make = makers[kind]
    with pytest.raises(ValueError, match=rf"task={kind} with loss=bce needs pixels in \[0, 1\].*dataset.mean=\[0.0\]"):
        make(pixel_range=(-0.42, 2.82))
    assert make(pixel_range=(0.0, 1.0))
    assert make()


def test_binary_cross_entropy_after_an_activation_is_refused() -> None:
    with pytest.raises(ValueError, match=r"needs logits of pixels; set model.output_activation=none"):
        Reconstruction(cae(output_activation="sigmoid"), BinaryCrossEntropy())


# --- variational


def test_the_divergence_is_that_of_normal_distributions() -> None:
    mean, log_variance = torch.randn(4, 3), torch.randn(4, 3)
    expected = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(divergence(mean, log_variance), expected)


def test_a_vae_minimises_the_negative_bound_in_nats_an_image() -> None:
    task = tiny.task_of("vae").eval()
    assert isinstance(task, VAE)
    torch.manual_seed(5)
    ((name, loss),) = task.losses(BATCH)
    torch.manual_seed(5)
    outputs, mean, log_variance = task.model(IMAGES)
    squares = (outputs - IMAGES).square().flatten(1).sum(1).mean()
    kl = divergence(mean, log_variance).mean()
    assert name == "model"
    assert isinstance(loss, dict)
    torch.testing.assert_close(loss["kl"], kl)
    torch.testing.assert_close(total(loss), squares + kl)
    torch.manual_seed(5)
    found = scored(task)
    assert found["kl"] == pytest.approx(kl.item())
    assert found["reconstruction"] == pytest.approx(squares.item())
    assert found["elbo"] == pytest.approx(-total(loss).item()) == -found["loss"]


def test_beta_weighs_the_divergence_in_the_loss_and_not_in_the_bound() -> None:
    task = VAE(models.VAE(**SIZES, channels=[4], latent_dim=2), nn.MSELoss(), beta=4.0)  # type: ignore[arg-type]
    found = scored(task)
    assert found["loss"] == pytest.approx(found["reconstruction"] + 4 * found["kl"])
    assert found["elbo"] == pytest.approx(-found["reconstruction"] - found["kl"])
    with pytest.raises(ValueError, match=r"task.beta must not be negative, got -1"):
        VAE(task.model, nn.MSELoss(), beta=-1)


def test_pictures_of_a_vae_are_of_the_same_noise_each_time() -> None:
    task = tiny.task_of("vae").eval()
    first, second = (task.pictures(BATCH) for _ in range(2))
    assert torch.equal(first["generated"], second["generated"])
    assert torch.equal(first["reconstruction"], second["reconstruction"])
    assert len(first["generated"]) == 8


def test_models_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"task=vae needs a model with posterior.*got CAE; set model=vae"):
        VAE(cae(), nn.MSELoss())
    with pytest.raises(ValueError, match=r"task=aae needs a model with an autoencoder.*got CAE; set model=aae"):
        AAE(cae(), nn.MSELoss())
    with pytest.raises(ValueError, match=r"task=vae compares images; set loss=mse"):
        VAE(models.VAE(**SIZES), nn.CrossEntropyLoss())  # type: ignore[arg-type]


# --- adversarial


def test_an_aae_has_a_phase_and_an_optimizer_for_each_of_its_losses() -> None:
    task = tiny.task_of("aae")
    phases = ["autoencoder", "discriminator", "generator", "classifier"]
    assert [name for name, _ in task.losses(BATCH)] == phases
    assert set(task.networks()) == set(phases)
    plain = AAE(models.AAE(**SIZES, num_classes=3), nn.MSELoss())  # type: ignore[arg-type]
    assert [name for name, _ in plain.losses((IMAGES,))] == phases[:3]


def test_the_phases_of_an_aae_share_the_encoder_and_nothing_else() -> None:
    networks = tiny.task_of("aae").networks()
    weights = {name: {id(parameter) for parameter in network.parameters()} for name, network in networks.items()}
    assert weights["generator"] == weights["classifier"] < weights["autoencoder"]
    assert not weights["discriminator"] & weights["autoencoder"]


def test_the_discriminators_phase_does_not_reach_the_encoder() -> None:
    task = tiny.task_of("aae")
    losses = task.losses(BATCH)
    next(losses)
    torch.autograd.backward(total(next(losses)[1]))
    reached = {name.partition(".")[0] for name, parameter in task.named_parameters() if parameter.grad is not None}
    assert reached == {"discriminator"}


def test_codes_are_judged_after_the_step_of_the_reconstruction() -> None:
    task = tiny.task_of("aae")
    losses = task.losses(BATCH)
    next(losses)
    with torch.no_grad():
        for parameter in task.networks()["autoencoder"].parameters():
            parameter.fill_(torch.nan)
    assert total(next(losses)[1]).isnan()


def test_samples_without_a_label_do_not_count() -> None:
    task = tiny.task_of("aae").eval()

    def supervised(labels: Tensor) -> float:
        *_, (name, loss) = task.losses((IMAGES, labels))
        assert name == "classifier"
        return total(loss).item()

    some = torch.tensor([0, -100, 2, -100, -100, -100])
    codes = task.networks()["classifier"](IMAGES)
    expected = -(codes[0, 0].log() + codes[2, 2].log()) / 2
    assert supervised(some) == pytest.approx(expected.item())
    assert supervised(torch.full((6,), -100)) == 0.0


def test_categorical_codes_are_probabilities_and_their_prior_is_one_hot() -> None:
    task = tiny.task_of("aae").eval()
    assert isinstance(task, AAE)
    codes = task.networks()["generator"](IMAGES)
    torch.testing.assert_close(codes[:, : tiny.CLASSES].sum(1), torch.ones(6))
    prior = task._prior(torch.empty(600, 1))
    assert set(prior[:, : tiny.CLASSES].flatten().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(prior[:, : tiny.CLASSES].mean(0), torch.full((3,), 1 / 3), atol=0.06, rtol=0)
    assert prior[:, tiny.CLASSES :].std().item() == pytest.approx(1, abs=0.1)


def test_an_aae_is_scored_by_what_its_discriminator_says_and_by_its_labels() -> None:
    task = tiny.task_of("aae").eval()
    with torch.no_grad():
        for parameter in task.networks()["discriminator"].parameters():
            parameter.zero_()
    found = scored(task)
    assert (found["prior_score"], found["code_score"]) == (0.5, 0.5)
    assert found["discriminator_loss"] == pytest.approx(2 * 0.6931472)
    codes = task.networks()["generator"](IMAGES)
    assert found["accuracy"] == pytest.approx((codes[:, :3].argmax(1) == LABELS).float().mean().item())
    assert task.pictures(BATCH)["generated"].shape == (8, 1, tiny.PIXELS, tiny.PIXELS)
