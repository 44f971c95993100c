"""Adversarial autoencoders: codes that a discriminator cannot tell from draws of a prior."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runner.batch import Batch, tensors
from runner.losses import weight_of
from runner.losses.terms import Loss
from runner.tasks.pixels import as_images, check_pixels, error_map
from runner.tasks.task import Task

if TYPE_CHECKING:
    from runner.metrics import Metrics

UNLABELLED = -100  # what a data set with ``labelled_fraction`` puts in place of a label


@runtime_checkable
class Judged(Protocol):
    """An ``autoencoder`` with an ``encoder`` to codes (B, categories + latent_dim) and a ``decode``, and a
    ``discriminator`` of codes that gives one logit for each of their parts.
    """

    autoencoder: nn.Module
    discriminator: nn.Module
    categories: int  # 0: codes have no categorical part
    latent_dim: int


class AAE(Task):
    """Learn to rebuild images (B, C, H, W) from codes that are distributed as a prior.

    Makhzani et al., "Adversarial autoencoders" (2015), section 2: for each batch the reconstruction phase (encoder and
    decoder), then the regularisation phase: the discriminator learns to tell codes from draws of the prior, then the
    encoder, as ``generator``, to mislead it. Each of the three has an optimizer. The prior is N(0, I); of a categorical
    part of the code it is uniform, and a fourth step follows, the semi-supervised phase of section 5: the cross-entropy
    of q(y|x) on the samples that have a label (not -100), with the optimizer of ``classifier``.
    Raises ``ValueError`` for a model without these networks, for a loss that compares no images, and binary
    cross-entropy on pixels outside [0, 1] or after an activation.
    """

    output = "image"
    examples = ("images",)
    picture_codes: Tensor

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module,
        *,
        pictures_count: int = 64,
        pixel_range: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(model, Judged):
            raise ValueError(
                f"task=aae needs a model with an autoencoder and a discriminator, got {type(model).__name__}; "
                "set model=aae"
            )
        check_pixels("aae", model.autoencoder, loss, pixel_range)
        encoder = model.autoencoder.get_submodule("encoder")
        self.autoencoder = model.autoencoder
        self.discriminator = model.discriminator
        self.generator = nn.Sequential(encoder)  # the same weights under the name of another optimizer
        if model.categories:
            self.classifier = nn.Sequential(encoder)
        self.loss = loss
        self.pixel_range = pixel_range
        self.categories, self.latent_dim = model.categories, model.latent_dim
        style = torch.randn(pictures_count, self.latent_dim, generator=torch.Generator().manual_seed(0))
        category = torch.arange(pictures_count) % max(self.categories, 1)
        self.register_buffer("picture_codes", self._joined(category, style))

    def losses(self, batch: Batch) -> Iterator[tuple[str, Loss]]:
        images, *rest = tensors(batch)
        yield "autoencoder", self.loss(self.autoencoder(images), images)
        codes = self.generator(images)
        drawn = self._prior(images)
        yield "discriminator", self._judged(drawn, real=True) + self._judged(codes.detach(), real=False)
        yield "generator", self._judged(codes, real=True)
        if self.categories:
            yield "classifier", self._supervised(self.classifier(images), rest[0])

    def scores(self, batch: Batch, metrics: Metrics) -> None:
        images, *rest = tensors(batch)
        count = len(images)
        codes = self.generator(images)
        outputs = self.autoencoder(images).float()
        on_prior, on_codes = (self.discriminator(some).float() for some in (self._prior(images), codes))
        judged = {True: _cross_entropy(on_prior, real=True), False: _cross_entropy(on_codes, real=False)}
        metrics.loss(self.loss(outputs, images), weight=weight_of(self.loss, images))
        metrics.mean("discriminator_loss", judged[True] + judged[False], weight=count)
        metrics.mean("generator_loss", _cross_entropy(on_codes, real=True), weight=count)
        metrics.mean("prior_score", on_prior.sigmoid().mean(), weight=count)  # D(z), z drawn from the prior
        metrics.mean("code_score", on_codes.sigmoid().mean(), weight=count)  # D(q(z|x))
        if self.categories:
            right = codes[:, : self.categories].argmax(1) == rest[0]
            metrics.mean("accuracy", right.float().mean(), weight=count)
        metrics.update(as_images(outputs, self.loss), images)

    def pictures(self, batch: Batch) -> dict[str, Tensor]:
        """ "generated" is of the same codes each time; of categorical ones picture i shows category i modulo K."""
        images = next(tensors(batch))
        drawn = self.autoencoder.decode(self.picture_codes)  # type: ignore[operator]
        rebuilt = as_images(self.autoencoder(images), self.loss)
        errors = error_map(rebuilt, images, self.pixel_range)
        return {"input": images, "reconstruction": rebuilt, "error": errors, "generated": as_images(drawn, self.loss)}

    def _prior(self, like: Tensor) -> Tensor:
        """Codes (B, categories + latent_dim) drawn from the prior."""
        style = torch.randn(len(like), self.latent_dim, device=like.device)
        category = torch.randint(max(self.categories, 1), (len(like),), device=like.device)
        return self._joined(category, style)

    def _joined(self, category: Tensor, style: Tensor) -> Tensor:
        if not self.categories:
            return style
        chosen = category.unsqueeze(1) == torch.arange(self.categories, device=category.device)
        return torch.cat((chosen.to(style), style), dim=1)

    def _judged(self, codes: Tensor, *, real: bool) -> Tensor:
        return _cross_entropy(self.discriminator(codes), real=real)

    def _supervised(self, codes: Tensor, labels: Tensor) -> Tensor:
        probabilities = codes[:, : self.categories].float()
        log_p = probabilities.clamp(min=torch.finfo(torch.float32).tiny).log()
        known = (labels != UNLABELLED).sum().clamp(min=1)  # a batch may have none
        return F.nll_loss(log_p, labels, ignore_index=UNLABELLED, reduction="sum") / known


def _cross_entropy(logits: Tensor, *, real: bool) -> Tensor:
    target = torch.ones_like(logits) if real else torch.zeros_like(logits)
    return F.binary_cross_entropy_with_logits(logits, target)
