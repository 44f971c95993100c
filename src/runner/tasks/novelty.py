"""Novelty detection: what an autoencoder of normal images rebuilds badly, or encodes far from them, is novel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from runner.losses import weight_of
from runner.losses.terms import Loss, total
from runner.tasks.pixels import as_images, check_pixels, error_map, full_precision
from runner.tasks.task import Task

if TYPE_CHECKING:
    from runner.metrics import Metrics

SCORES = ("reconstruction", "mahalanobis")
_MOMENTUM = 0.01  # of the codes' moments: those of about the last hundred batches
_RIDGE = 1e-4  # of the codes' mean variance, added to each: some dimensions may be unused


class Novelty(Task):
    """Learn to rebuild images (B, C, H, W) of normal classes, and rank others by a score: the higher, the more novel.

    ``score`` is "reconstruction", the loss of the image alone (Japkowicz et al., "A novelty detection approach to
    classification", 1995), or "mahalanobis", the squared distance of its code from those of the training images
    (Mahalanobis, "On the generalised distance in statistics", 1936), whose mean and covariance are those of the last
    hundred or so training batches, of each process its own.
    Metrics get scores (B,) and whether the label is one of ``novel_classes`` (B,). ``ranked`` keeps both since the
    model last began to be evaluated.
    Raises ``ValueError`` without ``novel_classes``, for a loss that compares no images, an unknown score, and
    "mahalanobis" of a model without ``encode`` and ``latent_dim``.
    """

    output = "image"
    examples = ("images",)
    novel: Tensor
    code_mean: Tensor
    code_products: Tensor
    code_batches: Tensor

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module,
        *,
        score: str = "reconstruction",
        novel_classes: Sequence[int] = (),
        pixel_range: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        check_pixels("novelty", model, loss, pixel_range)
        if not novel_classes:
            raise ValueError("task=novelty needs classes that are not trained on; set dataset.novel_classes=[2,7]")
        if score not in SCORES:
            raise ValueError(
                f"task.score must be one of {', '.join(SCORES)}, got {score!r}; set task.score={SCORES[0]}"
            )
        if score == "mahalanobis" and not (hasattr(model, "encode") and hasattr(model, "latent_dim")):
            raise ValueError(
                f"task.score=mahalanobis needs a model with encode and latent_dim, got {type(model).__name__}; "
                "set model=cae"
            )
        self.model = model
        self.loss = loss
        self.pixel_range = pixel_range
        self.score = score
        self.ranked: list[tuple[Tensor, Tensor]] = []
        self.register_buffer("novel", torch.tensor(list(novel_classes)), persistent=False)
        if score == "mahalanobis":
            size = int(getattr(model, "latent_dim", 0))
            self.register_buffer("code_mean", torch.zeros(size))
            self.register_buffer("code_products", torch.zeros(size, size))
            self.register_buffer("code_batches", torch.zeros(()))

    def train(self, mode: bool = True) -> Novelty:
        if not mode:
            self.ranked.clear()
        super().train(mode)
        return self

    def losses(self, batch: tuple[Tensor, Tensor]) -> Iterator[tuple[str, Loss]]:
        images, _ = batch
        if self.score == "mahalanobis":
            self._remember(images)
        yield "model", self.loss(self.model(images), images)

    def scores(self, batch: tuple[Tensor, Tensor], metrics: Metrics) -> None:
        images, labels = batch
        outputs = self.model(images).float()
        metrics.loss(self.loss(outputs, images), weight=weight_of(self.loss, images))
        score = self._distance(images) if self.score == "mahalanobis" else self._error(outputs, images)
        novel = (labels.unsqueeze(1) == self.novel).any(1)
        metrics.update(score, novel)
        self.ranked.append((score, novel))

    def pictures(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        images, _ = batch
        rebuilt = as_images(self.model(images), self.loss)
        return {"input": images, "reconstruction": rebuilt, "error": error_map(rebuilt, images, self.pixel_range)}

    def _error(self, outputs: Tensor, images: Tensor) -> Tensor:
        def alone(output: Tensor, image: Tensor) -> Tensor:
            return total(self.loss(output.unsqueeze(0), image.unsqueeze(0)))

        errors: Tensor = torch.vmap(alone)(outputs, images)
        return errors

    @torch.no_grad()
    def _remember(self, images: Tensor) -> None:
        codes = self._codes(images)
        self.code_batches += 1
        share = (1 / self.code_batches).clamp(min=_MOMENTUM)  # the first batches count evenly
        self.code_mean.lerp_(codes.mean(0), share)
        with full_precision(codes):
            self.code_products.lerp_(codes.T @ codes / len(codes), share)

    def _distance(self, images: Tensor) -> Tensor:
        covariance = self.code_products - self.code_mean.outer(self.code_mean)
        ridge = _RIDGE * covariance.diagonal().mean() + torch.finfo(covariance.dtype).tiny
        covariance = covariance + ridge * torch.eye(len(covariance), device=covariance.device)
        centred = self._codes(images) - self.code_mean  # (B, latent_dim)
        with full_precision(centred):
            whitened: Tensor = torch.linalg.solve(covariance, centred.T).T
        return (centred * whitened).sum(1)

    def _codes(self, images: Tensor) -> Tensor:
        codes: Tensor = self.model.encode(images).float()  # type: ignore[operator]
        return codes
