"""Batches in which the channels of two images lie behind each other, as data sets of pairs give them."""

from __future__ import annotations

from torch import Tensor

from runner.batch import Batch, tensors


def pair(batch: Batch, *, in_channels: int, out_channels: int) -> tuple[Tensor, Tensor]:
    """(inputs, targets) of a batch whose first tensor is (B, in_channels + out_channels, H, W).

    Raises ``ValueError`` for another number of channels.
    """
    both = next(tensors(batch))
    if both.shape[1] != in_channels + out_channels:
        raise ValueError(
            f"pairs of images with {in_channels} + {out_channels} channels are needed, got {both.shape[1]} channels; "
            "set dataset=shape_pairs or paired_images"
        )
    return both[:, :in_channels], both[:, in_channels:]


def shown(images: Tensor) -> Tensor:
    """Images in [-1, 1], the range of a generator, as pixels in [0, 1], float32."""
    return images.float() / 2 + 0.5
