"""A memory of drawn images, so that a discriminator also judges those of earlier steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ImagePool(nn.Module):
    """The last images drawn, ``size`` of them, each replaced at random.

    Shrivastava et al., "Learning from simulated and unsupervised images through adversarial training" (2017), section
    2.3, as in Zhu et al. (2017): until the pool is full each image is kept and given back; then one of two comes back
    itself, and instead of the other one that was kept comes back and makes room for it. With ``size`` 0 all images come
    back as they are. What is kept are buffers, and so part of a checkpoint.
    """

    images: Tensor
    filled: Tensor

    def __init__(self, size: int, *, channels: int, image_size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("images", torch.zeros(size, channels, *image_size))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def exchange(self, drawn: Tensor) -> Tensor:
        """As many images (B, C, H, W) to judge. Nothing waits for the device, though an image at a time is placed."""
        if self.size == 0:
            return drawn.detach()
        slots = torch.randint(self.size, (len(drawn),), device=drawn.device)
        replaced = torch.rand(len(drawn), device=drawn.device) < 0.5
        judged = []
        for image, random_slot, swap in zip(drawn.detach().to(self.images.dtype), slots, replaced, strict=True):
            room = self.filled < self.size
            slot = torch.where(room, self.filled, random_slot).reshape(1)
            kept = self.images.index_select(0, slot)
            taken = room | swap
            self.images.index_copy_(0, slot, torch.where(taken, image[None], kept))
            judged.append(torch.where(~room & swap, kept, image[None]))
            self.filled.add_(room)
        return torch.cat(judged)
