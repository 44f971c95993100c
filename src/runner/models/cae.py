"""A convolutional autoencoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn


class CAE(nn.Module):
    """Images (B, in_channels, H, W) to a code (B, latent_dim) and back to images of the same shape.

    Masci et al., "Stacked convolutional auto-encoders for hierarchical feature extraction" (2011), trained
    end to end, with strided convolutions in place of pooling. Each entry of ``channels`` halves the image.
    ``norm`` is "none" or "batch"; with normalised maps the first hundreds of steps go into the mean image.
    ``output_activation`` is "none", "sigmoid" (images in [0, 1]) or "tanh" (images in [-1, 1]).
    Raises ``ValueError`` for another, for empty ``channels`` and for a ``latent_dim`` below 1.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        image_size: tuple[int, int],
        channels: Sequence[int] = (32, 64, 128),
        latent_dim: int = 64,
        norm: str = "none",
        output_activation: str = "none",
    ) -> None:
        super().__init__()
        check_sizes(channels, latent_dim=latent_dim, norm=norm)
        self.image_size = image_size
        self.latent_dim = latent_dim
        grid = grid_of(image_size, channels)
        self.encoder = encoder(in_channels, channels, grid=grid, latent_dim=latent_dim, norm=norm)
        self.decoder = decoder(in_channels, channels, grid=grid, latent_dim=latent_dim, norm=norm)
        self.output_activation = _activation(output_activation)
        self.apply(he_normal)

    def encode(self, images: Tensor) -> Tensor:
        """Images (B, in_channels, H, W) to codes (B, latent_dim)."""
        codes: Tensor = self.encoder(images)
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, latent_dim) to images (B, in_channels, H, W)."""
        height, width = self.image_size
        images: Tensor = self.output_activation(self.decoder(codes)[..., :height, :width])
        return images

    def forward(self, images: Tensor) -> Tensor:
        return self.decode(self.encode(images))


def check_sizes(channels: Sequence[int], *, latent_dim: int, norm: str) -> None:
    """Raises ``ValueError`` for what ``encoder`` and ``decoder`` cannot be made of."""
    if not channels or min(channels) < 1:
        raise ValueError(f"model.channels needs positive widths, got {list(channels)}; set model.channels=[32,64,128]")
    if latent_dim < 1:
        raise ValueError(f"model.latent_dim must be at least 1, got {latent_dim}; set model.latent_dim=64")
    if norm not in ("none", "batch"):
        raise ValueError(f"model.norm must be none or batch, got {norm}; set model.norm=none")


def grid_of(image_size: tuple[int, int], channels: Sequence[int]) -> tuple[int, int]:
    """Rows and columns that are left when each of ``channels`` has halved an image, odd sides rounded up."""
    rows, columns = (math.ceil(side / 2 ** len(channels)) for side in image_size)
    return rows, columns


def encoder(
    in_channels: int, channels: Sequence[int], *, grid: tuple[int, int], latent_dim: int, norm: str
) -> nn.Sequential:
    """Images (B, in_channels, H, W) to codes (B, latent_dim); ``grid`` is what the halvings leave of H and W."""
    layers: list[nn.Module] = []
    for before, width in zip([in_channels, *channels], channels, strict=False):
        convolution = nn.Conv2d(before, width, 3, stride=2, padding=1, bias=norm == "none")  # rounds an odd side up
        layers += [convolution, *_norm(norm, width), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels[-1] * math.prod(grid), latent_dim))


def decoder(
    in_channels: int, channels: Sequence[int], *, grid: tuple[int, int], latent_dim: int, norm: str
) -> nn.Sequential:
    """Codes (B, latent_dim) to maps (B, in_channels, H', W'), each side ``2 ** len(channels)`` times ``grid``."""
    layers: list[nn.Module] = [
        nn.Linear(latent_dim, channels[-1] * math.prod(grid)),
        nn.Unflatten(1, (channels[-1], *grid)),
        nn.ReLU(inplace=True),
    ]
    narrowing = list(reversed(channels))
    for before, width in pairwise(narrowing):
        doubling = nn.ConvTranspose2d(before, width, 4, stride=2, padding=1, bias=norm == "none")
        layers += [doubling, *_norm(norm, width), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.ConvTranspose2d(channels[0], in_channels, 4, stride=2, padding=1))


def _norm(kind: str, width: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(width)] if kind == "batch" else []


def he_normal(layer: nn.Module) -> None:
    """He et al., "Delving deep into rectifiers" (2015): torch's default shrinks the signal at each layer, and half of
    the seeds then spend an epoch on the mean image.
    """
    if isinstance(layer, (nn.Conv2d, nn.Linear)):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    elif isinstance(layer, nn.ConvTranspose2d):  # at stride 2 each output pixel sees a quarter of the kernel
        nn.init.normal_(layer.weight, 0.0, math.sqrt(2 / (layer.in_channels * math.prod(layer.kernel_size) / 4)))
    else:
        return
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _activation(kind: str) -> nn.Module:
    if kind == "none":
        return nn.Identity()
    if kind == "sigmoid":
        return nn.Sigmoid()
    if kind == "tanh":
        return nn.Tanh()
    raise ValueError(
        f"model.output_activation must be none, sigmoid or tanh, got {kind}; set model.output_activation=none"
    )
