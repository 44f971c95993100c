"""Generative adversarial networks: two networks, two optimizers, one loop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from runner.batch import Batch, tensors
from runner.losses import targets_of
from runner.metrics import Metrics
from runner.tasks.task import Task


@runtime_checkable
class Adversaries(Protocol):
    """The two networks: ``generator`` maps (B, latent_dim) to images, ``discriminator`` images to logits (B,)."""

    generator: nn.Module
    discriminator: nn.Module
    latent_dim: int


class GAN(Task):
    """Learn to draw images like those of the data.

    Goodfellow et al., "Generative adversarial nets" (2014), with the non-saturating loss of its section 3; as trained
    by Radford et al., "Unsupervised representation learning with deep convolutional GANs" (2016).
    Raises ``ValueError`` for a model without the two networks and for a loss other than one on real-or-fake logits.
    """

    output = "image"

    def __init__(self, model: nn.Module, loss: nn.Module, *, pictures_count: int = 64) -> None:
        super().__init__()
        if not isinstance(model, Adversaries):
            raise ValueError(
                f"task=gan needs a model with a generator, a discriminator and a latent_dim, "
                f"got {type(model).__name__}; set model=dcgan"
            )
        if targets_of(loss) == "classes":
            raise ValueError(f"task=gan needs a loss on real-or-fake logits, got {type(loss).__name__}; set loss=bce")
        self.generator = model.generator
        self.discriminator = model.discriminator
        self.loss = loss
        self.latent_dim = model.latent_dim
        seed = torch.Generator().manual_seed(0)
        self.register_buffer("picture_noise", torch.randn(pictures_count, self.latent_dim, generator=seed))

    def losses(self, batch: Batch) -> Iterator[tuple[str, Tensor]]:
        real = next(tensors(batch))
        fake = self.generator(self._noise(real))
        yield "discriminator", self._judged(real, real=True) + self._judged(fake.detach(), real=False)
        yield "generator", self._judged(fake, real=True)

    def scores(self, batch: Batch, metrics: Metrics) -> None:
        real = next(tensors(batch))
        count = len(real)
        on_real = self.discriminator(real).float()
        on_fake = self.discriminator(self.generator(self._noise(real))).float()
        ones, zeros = torch.ones_like(on_real), torch.zeros_like(on_real)
        metrics.mean("discriminator_loss", self.loss(on_real, ones) + self.loss(on_fake, zeros), weight=count)
        metrics.mean("generator_loss", self.loss(on_fake, ones), weight=count)
        metrics.mean("real_score", on_real.sigmoid().mean(), weight=count)  # D(x)
        metrics.mean("fake_score", on_fake.sigmoid().mean(), weight=count)  # D(G(z))

    def pictures(self, batch: Batch) -> dict[str, Tensor]:
        return {"real": next(tensors(batch)), "generated": self.generator(self.picture_noise)}

    def _noise(self, like: Tensor) -> Tensor:
        return torch.randn(len(like), self.latent_dim, device=like.device)

    def _judged(self, images: Tensor, *, real: bool) -> Tensor:
        logits = self.discriminator(images)
        target = torch.ones_like(logits) if real else torch.zeros_like(logits)
        loss: Tensor = self.loss(logits, target)
        return loss
