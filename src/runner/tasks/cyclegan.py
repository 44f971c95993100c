"""Image to image without pairs: there and back again must be where it began."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runner.batch import Batch
from runner.losses.terms import Loss
from runner.tasks.adversaries import adversarial, judged
from runner.tasks.image_pool import ImagePool
from runner.tasks.pairs import pair, shown
from runner.tasks.task import Task

if TYPE_CHECKING:
    from runner.metrics import Metrics


@runtime_checkable
class CycleNetworks(Protocol):
    """``generators`` "there" and "back", and ``discriminators`` of "input" and "target" images."""

    generators: nn.ModuleDict
    discriminators: nn.ModuleDict
    in_channels: int
    out_channels: int
    image_size: tuple[int, int]


class CycleGAN(Task):
    """Learn to turn images of one kind into another and back, from images that do not belong together.

    Zhu et al., "Unpaired image-to-image translation using cycle-consistent adversarial networks" (2017): for each
    direction the adversarial loss, ``cycle_weight`` times the mean absolute error of there-and-back (equation 2), and
    that times ``identity_weight`` for an image that is of the kind already (section 5.2). The two generators share one
    optimizer, and so do the discriminators, which judge images from pools of ``pool_size``; their loss is halved. With
    ``paired_evaluation`` the images of an evaluation belong together, and ``l1`` says how far the drawn targets are
    from the true ones. Scores and pictures are of pixels in [0, 1].
    Raises ``ValueError`` for a model without the four networks, a loss on classes, a gradient penalty beside batch
    norm, an identity of images with unlike channels, and negative numbers.
    """

    output = "image"
    examples = ("pairs of images",)

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module,
        *,
        cycle_weight: float = 10.0,
        identity_weight: float = 0.5,
        pool_size: int = 50,
        paired_evaluation: bool = False,
    ) -> None:
        super().__init__()
        if not isinstance(model, CycleNetworks):
            raise ValueError(
                "task=cyclegan needs a model with generators and discriminators, "
                f"got {type(model).__name__}; set model=cyclegan"
            )
        weights = {"cycle_weight": cycle_weight, "identity_weight": identity_weight, "pool_size": pool_size}
        for name, value in weights.items():
            if value < 0:
                raise ValueError(f"task.{name} must not be negative, got {value}; set task.{name}=0 for none")
        if identity_weight and model.in_channels != model.out_channels:
            raise ValueError(
                f"images of {model.in_channels} and of {model.out_channels} channels have no identity; "
                "set task.identity_weight=0"
            )
        self.generators = model.generators
        self.discriminators = model.discriminators
        self.loss = adversarial(loss, task="cyclegan", discriminator=model.discriminators)
        self.cycle_weight = cycle_weight
        self.identity_weight = identity_weight
        self.paired_evaluation = paired_evaluation
        self.channels = {"in_channels": model.in_channels, "out_channels": model.out_channels}
        self.input_pool = ImagePool(pool_size, channels=model.in_channels, image_size=model.image_size)
        self.target_pool = ImagePool(pool_size, channels=model.out_channels, image_size=model.image_size)

    def losses(self, batch: Batch) -> Iterator[tuple[str, Loss]]:
        inputs, targets = pair(batch, **self.channels)
        there, back = self.generators["there"], self.generators["back"]
        of_input, of_target = self.discriminators["input"], self.discriminators["target"]
        drawn_targets, drawn_inputs = there(inputs).float(), back(targets).float()
        on_targets, on_inputs = of_target(drawn_targets).float(), of_input(drawn_inputs).float()
        terms = {"adversarial": self.loss.generator(on_targets) + self.loss.generator(on_inputs)}
        terms["cycle"] = self.cycle_weight * _error((back(drawn_targets), inputs), (there(drawn_inputs), targets))
        if self.identity_weight:
            same = _error((there(targets), targets), (back(inputs), inputs))
            terms["identity"] = self.cycle_weight * self.identity_weight * same
        yield "generators", terms
        earlier_targets = self.target_pool.exchange(drawn_targets)
        earlier_inputs = self.input_pool.exchange(drawn_inputs)
        lost_on_targets = judged(self.loss, of_target, real=targets, drawn=earlier_targets)
        lost_on_inputs = judged(self.loss, of_input, real=inputs, drawn=earlier_inputs)
        yield "discriminators", (lost_on_targets + lost_on_inputs) / 2

    def scores(self, batch: Batch, metrics: Metrics) -> None:
        inputs, targets = pair(batch, **self.channels)
        there, back = self.generators["there"], self.generators["back"]
        count, drawn = len(inputs), there(inputs)
        cycle = _error((shown(back(drawn)), shown(inputs)), (shown(there(back(targets))), shown(targets)))
        on_real, on_drawn = (self.discriminators["target"](images).float() for images in (targets, drawn))
        metrics.mean("cycle_l1", cycle / 2, weight=count)
        metrics.mean("adversarial_loss", self.loss.generator(on_drawn), weight=count)
        metrics.mean("real_score", self.loss.reality(on_real).mean(), weight=count)
        metrics.mean("fake_score", self.loss.reality(on_drawn).mean(), weight=count)
        if self.paired_evaluation:
            metrics.mean("l1", F.l1_loss(shown(drawn), shown(targets)), weight=count)
            metrics.update(shown(drawn), shown(targets))

    def pictures(self, batch: Batch) -> dict[str, Tensor]:
        inputs, targets = pair(batch, **self.channels)
        drawn_targets, drawn_inputs = self.generators["there"](inputs), self.generators["back"](targets)
        return {
            "input": shown(inputs),
            "generated_target": shown(drawn_targets),
            "cycled_input": shown(self.generators["back"](drawn_targets)),
            "target": shown(targets),
            "generated_input": shown(drawn_inputs),
            "cycled_target": shown(self.generators["there"](drawn_inputs)),
        }


def _error(*pairs: tuple[Tensor, Tensor]) -> Tensor:
    """The mean absolute differences of each pair of images, added up."""
    return torch.stack([F.l1_loss(one.float(), other) for one, other in pairs]).sum()
