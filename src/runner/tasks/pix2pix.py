"""Image to image: draw what belongs to an input, learnt from pairs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runner.batch import Batch
from runner.losses.terms import Loss
from runner.tasks.adversaries import adversarial, judged
from runner.tasks.pairs import pair, shown
from runner.tasks.task import Task

if TYPE_CHECKING:
    from runner.metrics import Metrics


@runtime_checkable
class PairAdversaries(Protocol):
    """``generator`` maps inputs to targets, ``discriminator`` the two, channels behind each other, to logits."""

    generator: nn.Module
    discriminator: nn.Module
    in_channels: int
    out_channels: int


class Pix2pix(Task):
    """Learn to turn inputs into targets that look real beside them and are close to the true ones.

    Isola et al., "Image-to-image translation with conditional adversarial networks" (2017), equation 4: the adversarial
    loss plus ``l1_weight`` times the mean absolute error; the discriminator's is halved. Evaluations are without
    dropout, with the statistics of training. Scores and pictures are of pixels in [0, 1].
    Raises ``ValueError`` for a model without the two networks, a loss on classes, a gradient penalty beside batch norm,
    and a negative weight.
    """

    output = "image"
    examples = ("pairs of images",)

    def __init__(self, model: nn.Module, loss: nn.Module, *, l1_weight: float = 100.0) -> None:
        super().__init__()
        if not isinstance(model, PairAdversaries):
            raise ValueError(
                "task=pix2pix needs a model with a generator and a discriminator of pairs, "
                f"got {type(model).__name__}; set model=pix2pix"
            )
        if l1_weight < 0:
            raise ValueError(f"task.l1_weight must not be negative, got {l1_weight}; 0 is the adversary alone")
        self.generator = model.generator
        self.discriminator = model.discriminator
        self.loss = adversarial(loss, task="pix2pix", discriminator=model.discriminator)
        self.l1_weight = l1_weight
        self.channels = {"in_channels": model.in_channels, "out_channels": model.out_channels}

    def losses(self, batch: Batch) -> Iterator[tuple[str, Loss]]:
        given, wanted = pair(batch, **self.channels)
        drawn = self.generator(given)
        real, fake = torch.cat([given, wanted], 1), torch.cat([given, drawn], 1)
        yield "discriminator", judged(self.loss, self.discriminator, real=real, drawn=fake) / 2
        fooled = self.loss.generator(self.discriminator(fake).float())
        yield "generator", {"adversarial": fooled, "l1": self.l1_weight * F.l1_loss(drawn.float(), wanted)}

    def scores(self, batch: Batch, metrics: Metrics) -> None:
        given, wanted = pair(batch, **self.channels)
        drawn, count = self.generator(given), len(given)
        on_real = self.discriminator(torch.cat([given, wanted], 1)).float()
        on_drawn = self.discriminator(torch.cat([given, drawn], 1)).float()
        metrics.mean("l1", F.l1_loss(shown(drawn), shown(wanted)), weight=count)
        metrics.mean("discriminator_loss", self.loss.discriminator(on_real, on_drawn) / 2, weight=count)
        metrics.mean("adversarial_loss", self.loss.generator(on_drawn), weight=count)
        metrics.mean("real_score", self.loss.reality(on_real).mean(), weight=count)
        metrics.mean("fake_score", self.loss.reality(on_drawn).mean(), weight=count)
        metrics.update(shown(drawn), shown(wanted))

    def pictures(self, batch: Batch) -> dict[str, Tensor]:
        given, wanted = pair(batch, **self.channels)
        return {"input": shown(given), "target": shown(wanted), "generated": shown(self.generator(given))}
