"""Generative adversarial networks: two networks, two optimizers, one loop."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from runner.batch import Batch, tensors
from runner.losses.terms import Loss
from runner.metrics import Metrics
from runner.tasks.adversaries import adversarial, judged
from runner.tasks.latent_walk import INTERPOLATIONS, walk
from runner.tasks.task import Task


@runtime_checkable
class Adversaries(Protocol):
    """The two networks: ``generator`` maps (B, latent_dim) to images, ``discriminator`` images to logits (B,)."""

    generator: nn.Module
    discriminator: nn.Module
    latent_dim: int


class GAN(Task):
    """Learn to draw images like those of the data.

    Goodfellow et al., "Generative adversarial nets" (2014), as trained by Radford et al., "Unsupervised representation
    learning with deep convolutional GANs" (2016); what is minimised is up to the ``loss``. The discriminator takes
    ``discriminator_steps`` on each batch, with fresh noise, before the generator takes one (algorithm 1 of the first
    paper); its schedule counts each of them.
    Raises ``ValueError`` for a model without the two networks, a loss on classes, a gradient penalty beside batch norm,
    and counts below 1.
    """

    output = "image"
    examples = ("images",)
    picture_noise: Tensor

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module,
        *,
        discriminator_steps: int = 1,
        pictures_count: int = 64,
        interpolation: str = "spherical",
    ) -> None:
        super().__init__()
        if not isinstance(model, Adversaries):
            raise ValueError(
                f"task=gan needs a model with a generator, a discriminator and a latent_dim, "
                f"got {type(model).__name__}; set model=dcgan"
            )
        for name, value in (("discriminator_steps", discriminator_steps), ("pictures_count", pictures_count)):
            if value < 1:
                raise ValueError(f"task.{name} must be at least 1, got {value}; set task.{name}=1")
        if interpolation not in INTERPOLATIONS:
            raise ValueError(f"task.interpolation must be one of {', '.join(INTERPOLATIONS)}, got {interpolation!r}")
        self.generator = model.generator
        self.discriminator = model.discriminator
        self.loss = adversarial(loss, task="gan", discriminator=model.discriminator)
        self.latent_dim = model.latent_dim
        self.discriminator_steps = discriminator_steps
        self.interpolation = interpolation
        seed = torch.Generator().manual_seed(0)
        self.register_buffer("picture_noise", torch.randn(pictures_count, self.latent_dim, generator=seed))

    def losses(self, batch: Batch) -> Iterator[tuple[str, Loss]]:
        real = next(tensors(batch))
        for _ in range(self.discriminator_steps):
            drawn = self.generator(self._noise(real))
            yield "discriminator", judged(self.loss, self.discriminator, real=real, drawn=drawn)
        yield "generator", self.loss.generator(self.discriminator(drawn).float())

    def scores(self, batch: Batch, metrics: Metrics) -> None:
        real = next(tensors(batch))
        count = len(real)
        on_real = self.discriminator(real).float()
        on_drawn = self.discriminator(self.generator(self._noise(real))).float()
        metrics.mean("discriminator_loss", self.loss.discriminator(on_real, on_drawn), weight=count)
        metrics.mean("generator_loss", self.loss.generator(on_drawn), weight=count)
        metrics.mean("real_score", self.loss.reality(on_real).mean(), weight=count)  # D(x)
        metrics.mean("fake_score", self.loss.reality(on_drawn).mean(), weight=count)  # D(G(z))

    def pictures(self, batch: Batch) -> dict[str, Tensor]:
        """Real images, those of the same noise each time, and a walk from one code to the next, in reading order."""
        legs = math.isqrt(len(self.picture_noise))
        way = walk(self.picture_noise[:legs], count=legs, interpolation=self.interpolation)
        return {
            "real": next(tensors(batch)),
            "generated": self.generator(self.picture_noise),
            "walk": self.generator(way),
        }

    def _noise(self, like: Tensor) -> Tensor:
        return torch.randn(len(like), self.latent_dim, device=like.device)
