"""Pictures of masks: the classes of pixels in colours over the image, uint8 (B, 3, H, W)."""

from __future__ import annotations

import colorsys

import torch
from torch import Tensor

GOLDEN = 0.618034  # of a turn: hues of neighbouring classes are far apart, however many there are
STRENGTH = 0.6  # of a colour over the image
WHITE, RED = (255, 255, 255), (255, 0, 0)


def middle(values: Tensor, *, image_dims: int) -> Tensor:
    """The last two dimensions of images or masks; of volumes, which have three, the slice in the middle of the first.

    ``image_dims`` is how many of the dimensions are in space.
    """
    return values if image_dims == 2 else values.select(-3, values.shape[-3] // 2)


def overlay(images: Tensor, classes: Tensor) -> Tensor:
    """images: float (B, C, H, W); classes: int (B, H, W). Class 0, the background, is left; below 0 it is white."""
    colours = palette(int(classes.max().clamp(min=0)) + 1).to(images.device)
    shown = colours[classes.clamp(min=0)]
    shown = torch.where((classes < 0).unsqueeze(-1), _colour(WHITE, images), shown)
    return _blended(images, shown, classes != 0)


def errors(images: Tensor, classes: Tensor, masks: Tensor) -> Tensor:
    """Where ``classes`` are not those of ``masks``, red; pixels whose mask is below 0 do not count and are white."""
    wrong = (classes != masks) & (masks >= 0)
    shown = torch.where(wrong.unsqueeze(-1), _colour(RED, images), _colour(WHITE, images))
    return _blended(images, shown, wrong | (masks < 0))


def palette(count: int) -> Tensor:
    """A colour for each class, uint8 (count, 3): always the same; black for class 0."""
    hues = [colorsys.hsv_to_rgb((GOLDEN * place) % 1, 1.0, 1.0) for place in range(count - 1)]
    return (torch.tensor([(0.0, 0.0, 0.0), *hues]) * 255).round().to(torch.uint8)


def _colour(colour: tuple[int, int, int], like: Tensor) -> Tensor:
    return torch.tensor(colour, dtype=torch.uint8, device=like.device)


def _blended(images: Tensor, colours: Tensor, where: Tensor) -> Tensor:
    """The images in grey, from black at their darkest to white, under colours (B, H, W, 3) where (B, H, W) says so."""
    grey = images.float().mean(1, keepdim=True)
    low, high = grey.amin((2, 3), keepdim=True), grey.amax((2, 3), keepdim=True)
    grey = (grey - low) / (high - low).clamp(min=torch.finfo(torch.float32).tiny) * 255
    share = STRENGTH * where.unsqueeze(1)
    return (grey * (1 - share) + colours.movedim(-1, 1) * share).round().to(torch.uint8)
