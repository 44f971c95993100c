"""The network of airbench94: 94 % on CIFAR-10 in a few epochs."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_CHUNK = 500  # images whose patches are held at once


class Airbench(nn.Module):
    """Images (B, in_channels, H, W) to logits (B, num_classes).

    Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU" (2024), in the form of its Muon variant
    (airbench94_muon.py): a 2x2 convolution with fixed whitening kernels, three blocks of ``width``, 4 and 4 times
    ``width`` channels, a global maximum, and a linear layer without bias whose outputs are divided by its inputs'
    number. The whitening kernels come from ``initialise_from_data``; until it is called they are random.
    Raises ``ValueError`` for images below 9x9 and for a ``width`` below 1.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        image_size: tuple[int, int],
        num_classes: int,
        width: int = 64,
        whiten_eps: float = 5e-4,
    ) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"model.width must be at least 1, got {width}; set model.width=64")
        rest = ((image_size[0] - 1) // 8, (image_size[1] - 1) // 8)  # pixels that the three blocks leave
        if min(rest) < 1:
            raise ValueError(
                f"model=airbench needs images of at least 9x9 pixels, got {image_size[0]}x{image_size[1]}; "
                "set dataset.image_size=32"
            )
        self.whiten_eps = whiten_eps
        self.whiten = nn.Conv2d(in_channels, 8 * in_channels, 2)
        self.whiten.weight.requires_grad_(False)
        channels = (self.whiten.out_channels, width, 4 * width, 4 * width)
        self.blocks = nn.Sequential(*(AirbenchBlock(given, made) for given, made in pairwise(channels)))
        self.pool = nn.MaxPool2d(rest)
        self.head = nn.Linear(channels[-1], num_classes, bias=False)
        with torch.no_grad():
            self.head.weight.div_(self.head.weight.std())

    def initialise_from_data(self, images: Tensor) -> None:
        """Set the whitening kernels from training images (N, in_channels, H, W), as they are trained on."""
        with torch.no_grad():
            self.whiten.weight.copy_(whitening_kernels(images, size=2, eps=self.whiten_eps))

    def forward(self, images: Tensor) -> Tensor:
        features = self.pool(self.blocks(F.gelu(self.whiten(images)))).flatten(1)  # (B, 4 * width)
        logits: Tensor = self.head(features) / self.head.in_features
        return logits


class AirbenchBlock(nn.Module):
    """Two 3x3 convolutions that begin as the identity, and a pooling: (B, in_channels, H, W) to
    (B, out_channels, H/2, W/2).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = _convolution(in_channels, out_channels)
        self.norm1 = _norm(out_channels)
        self.conv2 = _convolution(out_channels, out_channels)
        self.norm2 = _norm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.gelu(self.norm1(F.max_pool2d(self.conv1(x), 2)))
        return F.gelu(self.norm2(self.conv2(y)))


def _convolution(in_channels: int, out_channels: int) -> nn.Conv2d:
    """Its first ``in_channels`` outputs begin as its inputs, so that signals pass at once."""
    convolution = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
    nn.init.dirac_(convolution.weight.data[:in_channels])
    return convolution


def _norm(channels: int) -> nn.BatchNorm2d:
    """Without a scale, and with statistics that follow the last few batches: training has few."""
    norm = nn.BatchNorm2d(channels, eps=1e-12, momentum=0.4)
    norm.weight.requires_grad_(False)
    return norm


def whitening_kernels(images: Tensor, *, size: int, eps: float) -> Tensor:
    """Kernels (2 * C * size**2, C, size, size) under which the patches of images (N, C, H, W) are uncorrelated.

    Each eigenvector of the patches' second moments, divided by the root of its eigenvalue plus ``eps``, and then
    the negative of each; the smallest eigenvalue comes first.
    """
    channels, rows, columns = images.size(1), images.size(2) - size + 1, images.size(3) - size + 1
    corners = [(top, left) for top in range(size) for left in range(size)]
    moments = torch.zeros(channels * size**2, channels * size**2, dtype=torch.float64, device=images.device)
    for chunk in torch.split(images, _CHUNK):
        shifted = [chunk[:, :, top : top + rows, left : left + columns] for top, left in corners]
        patches = torch.stack(shifted, dim=2).reshape(len(chunk), len(moments), -1)  # several times faster than unfold
        moments += torch.bmm(patches, patches.mT).sum(0).double()
    values, vectors = torch.linalg.eigh(moments / (len(images) * rows * columns))
    kernels = (vectors / (values + eps).sqrt()).T.reshape(-1, channels, size, size)
    return torch.cat((kernels, -kernels)).to(images.dtype)
