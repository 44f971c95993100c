"""Test-time augmentation: a prediction is the mean over several views of an image."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

VIEWS = ("none", "mirror", "mirror_translate")

Predict = Callable[[Tensor], Tensor]


def averaged(predict: Predict, images: Tensor, *, views: str) -> Tensor:
    """What ``predict`` makes of images (B, C, H, W) under ``views``, one of ``VIEWS``, in the mean, as float32.

    "mirror": the images and their mirror images, half each. "mirror_translate": of the images a half; of the images one
    pixel further up and left, and one further down and right, with reflected borders, a quarter each; all of them
    mirrored, too (Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024).
    """
    if views == "none":
        return predict(images).float()
    if views == "mirror":
        return (predict(images).float() + predict(images.flip(-1)).float()) / 2
    height, width = images.shape[2:]
    padded = F.pad(images, (1, 1, 1, 1), mode="reflect")
    moved = (padded[:, :, :height, :width], padded[:, :, 2:, 2:])
    one, other = (averaged(predict, view, views="mirror") for view in moved)
    return averaged(predict, images, views="mirror") / 2 + (one + other) / 4
