"""Variational autoencoders: a model from which images can be drawn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from runner.batch import Batch, tensors
from runner.losses.terms import Loss, total
from runner.tasks.pixels import as_images, check_pixels, error_map
from runner.tasks.task import Task

if TYPE_CHECKING:
    from runner.metrics import Metrics


@runtime_checkable
class Variational(Protocol):
    """``posterior`` gives mean and log-variance (B, latent_dim) of q(z|x) for images, ``decode`` images for codes.

    Called with images, the model gives what a code drawn from q(z|x) is decoded to, the mean and the log-variance.
    """

    latent_dim: int

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]: ...

    def decode(self, codes: Tensor) -> Tensor: ...


class VAE(Task):
    """Maximise the evidence lower bound (ELBO) on log p(x), with one code drawn for each image (B, C, H, W).

    Kingma and Welling, "Auto-encoding variational Bayes" (2014), equation 10: minimised is ``reconstruction + beta *
    kl``, in nats an image. The reconstruction is ``loss`` times the values of an image: with ``loss=bce`` -log p(x|z)
    of Bernoulli pixels, with ``loss=mse`` that of normal ones with variance 1/2, but for a constant. ``beta`` is that
    of Higgins et al., "beta-VAE" (2017). Evaluations log both parts, and ``elbo``, in which beta is 1.
    Raises ``ValueError`` for a model without ``posterior`` and ``decode``, for a loss that compares no images, binary
    cross-entropy on pixels outside [0, 1], and a negative ``beta``.
    """

    output = "image"
    examples = ("images",)
    picture_noise: Tensor

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module,
        *,
        beta: float = 1.0,
        pictures_count: int = 64,
        pixel_range: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(model, Variational):
            raise ValueError(
                f"task=vae needs a model with posterior, decode and latent_dim, got {type(model).__name__}; "
                "set model=vae"
            )
        check_pixels("vae", model, loss, pixel_range)
        if beta < 0:
            raise ValueError(f"task.beta must not be negative, got {beta}; set task.beta=1.0")
        self.model: nn.Module = model
        self.loss = loss
        self.pixel_range = pixel_range
        self.beta = beta
        seed = torch.Generator().manual_seed(0)
        self.register_buffer("picture_noise", torch.randn(pictures_count, model.latent_dim, generator=seed))

    def losses(self, batch: Batch) -> Iterator[tuple[str, Loss]]:
        _, reconstruction, kl = self._bound(next(tensors(batch)))
        yield "model", {"reconstruction": reconstruction, "kl": self.beta * kl}

    def scores(self, batch: Batch, metrics: Metrics) -> None:
        images = next(tensors(batch))
        outputs, reconstruction, kl = self._bound(images)
        count = len(images)
        metrics.mean("loss", reconstruction + self.beta * kl, weight=count)
        metrics.mean("reconstruction", reconstruction, weight=count)
        metrics.mean("kl", kl, weight=count)
        metrics.mean("elbo", -(reconstruction + kl), weight=count)
        metrics.update(as_images(outputs, self.loss), images)

    def pictures(self, batch: Batch) -> dict[str, Tensor]:
        images = next(tensors(batch))
        mean, _ = self._model.posterior(images)
        rebuilt, drawn = self._model.decode(mean), self._model.decode(self.picture_noise)
        return {
            "input": images,
            "reconstruction": as_images(rebuilt, self.loss),
            "error": error_map(as_images(rebuilt, self.loss), images, self.pixel_range),
            "generated": as_images(drawn, self.loss),
        }

    def _bound(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What codes are decoded to (B, C, H, W), and the two parts of the bound in nats an image."""
        outputs, mean, log_variance = self.model(images)
        reconstruction = total(self.loss(outputs.float(), images)) * images[0].numel()
        return outputs, reconstruction, divergence(mean.float(), log_variance.float()).mean()

    @property
    def _model(self) -> Variational:
        assert isinstance(self.model, Variational), "the constructor refuses others"
        return self.model


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(q(z|x) || N(0, I)) in nats, (B,), of normal distributions (B, latent_dim): appendix B of the paper."""
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum(1) / 2
