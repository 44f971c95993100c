"""One class for each image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch import Tensor, nn

from runner.losses import targets_of, weight_of
from runner.losses.terms import Loss
from runner.tasks.mixing import Mixing
from runner.tasks.task import Task
from runner.tasks.views import VIEWS, averaged

if TYPE_CHECKING:
    from runner.metrics import Metrics


class Classification(Task):
    """Learn labels (B,) from images (B, C, H, W) through a model that gives logits (B, K).

    Evaluations score the mean of the logits over the views that ``tta``, test-time augmentation, names; see
    ``averaged``. Training images are mixed as ``Mixing`` says; those of evaluations never are.
    Raises ``ValueError`` for a loss that compares images, for unknown views and for a negative alpha.
    """

    output = "classes"
    examples = ("images",)

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module,
        *,
        tta: str = "none",
        mixup_alpha: float = 0.0,
        cutmix_alpha: float = 0.0,
    ) -> None:
        super().__init__()
        if tta not in VIEWS:
            raise ValueError(f"task.tta must be one of {', '.join(VIEWS)}, got {tta!r}; set task.tta=none")
        if targets_of(loss) == "image":
            raise ValueError(
                f"loss {type(loss).__name__} compares images, but task=classification compares class scores with "
                "labels; set loss=cross_entropy, nll, bce or focal"
            )
        self.model = model
        self.loss = loss
        self.tta = tta
        self.mixing = Mixing(mixup_alpha=mixup_alpha, cutmix_alpha=cutmix_alpha)

    def losses(self, batch: tuple[Tensor, Tensor]) -> Iterator[tuple[str, Loss]]:
        images, labels = batch
        if self.mixing:
            yield "model", self.mixing.loss(self.model, self.loss, images, labels)
        else:
            yield "model", self.loss(self.model(images), labels)

    def scores(self, batch: tuple[Tensor, Tensor], metrics: Metrics) -> None:
        images, labels = batch
        logits = averaged(self.model, images, views=self.tta)
        metrics.loss(self.loss(logits, labels), weight=weight_of(self.loss, labels))
        metrics.update(logits, labels)
