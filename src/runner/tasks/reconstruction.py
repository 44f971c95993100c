"""Autoencoders: give back what came in, or what it was before noise came over it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from runner.batch import Batch, tensors
from runner.losses import weight_of
from runner.losses.terms import Loss
from runner.tasks.pixels import as_images, check_pixels, error_map
from runner.tasks.task import Task

if TYPE_CHECKING:
    from runner.metrics import Metrics


class Reconstruction(Task):
    """Learn a code from which images (B, C, H, W) can be rebuilt; labels, where there are any, are not looked at.

    Hinton and Salakhutdinov, "Reducing the dimensionality of data with neural networks" (2006). With ``noise_std`` or
    ``mask_fraction`` the model is given corrupted images and compared with the clean ones, in evaluations, too:
    Vincent et al., "Stacked denoising autoencoders" (2010), section 3. Gaussian noise is in the units of what the model
    sees; of each image about a ``mask_fraction`` of the pixels is set to 0, in all channels.
    Raises ``ValueError`` for a loss that compares scores with labels, binary cross-entropy on pixels outside [0, 1]
    or after an activation, and noise that is negative or all there is.
    """

    output = "image"
    examples = ("images", "images with masks", "images with boxes")

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module,
        *,
        noise_std: float = 0.0,
        mask_fraction: float = 0.0,
        pixel_range: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        check_pixels("reconstruction", model, loss, pixel_range)
        if noise_std < 0:
            raise ValueError(f"task.noise_std must not be negative, got {noise_std}; 0 is no noise")
        if not 0 <= mask_fraction < 1:
            raise ValueError(f"task.mask_fraction must lie in [0, 1), got {mask_fraction}; 0 masks nothing")
        self.model = model
        self.loss = loss
        self.pixel_range = pixel_range
        self.noise_std = noise_std
        self.mask_fraction = mask_fraction

    def losses(self, batch: Batch) -> Iterator[tuple[str, Loss]]:
        images = next(tensors(batch))
        yield "model", self.loss(self.model(self._corrupted(images)), images)

    def scores(self, batch: Batch, metrics: Metrics) -> None:
        images = next(tensors(batch))
        outputs = self.model(self._corrupted(images)).float()
        metrics.loss(self.loss(outputs, images), weight=weight_of(self.loss, images))
        metrics.update(as_images(outputs, self.loss), images)

    def pictures(self, batch: Batch) -> dict[str, Tensor]:
        images = next(tensors(batch))
        given = self._corrupted(images)
        shown = {"input": images} if given is images else {"input": images, "corrupted": given}
        rebuilt = as_images(self.model(given), self.loss)
        return {**shown, "reconstruction": rebuilt, "error": error_map(rebuilt, images, self.pixel_range)}

    def _corrupted(self, images: Tensor) -> Tensor:
        if self.noise_std:
            images = images + self.noise_std * torch.randn_like(images)
        if self.mask_fraction:
            kept = torch.rand_like(images[:, :1]) >= self.mask_fraction  # (B, 1, H, W)
            images = images * kept
        return images
