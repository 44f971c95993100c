"""Deep convolutional generative adversarial networks."""

from __future__ import annotations

import math
from itertools import pairwise

from torch import Tensor, nn

_MINIMUM_PIXELS = 4
_WIDEST = 8  # the deepest layers have this many times the width of the layer next to the image
_WEIGHT_STD = 0.02


class Generator(nn.Module):
    """Noise (B, latent_dim) to images (B, in_channels, H, W) with values in [-1, 1]."""

    def __init__(self, *, in_channels: int, image_size: tuple[int, int], latent_dim: int, width: int) -> None:
        super().__init__()
        self.image_size = image_size
        widths = _widths(image_size, width)
        grid = tuple(math.ceil(side / 2 ** len(widths)) for side in image_size)
        layers: list[nn.Module] = [
            nn.Unflatten(1, (latent_dim, 1, 1)),
            nn.ConvTranspose2d(latent_dim, widths[-1], grid, bias=False),
            nn.BatchNorm2d(widths[-1]),
            nn.ReLU(inplace=True),
        ]
        narrowing = widths[::-1]
        for before, after in pairwise(narrowing):
            doubling = nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False)
            layers += [doubling, nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
        layers += [nn.ConvTranspose2d(widths[0], in_channels, 4, stride=2, padding=1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, noise: Tensor) -> Tensor:
        height, width = self.image_size
        images: Tensor = self.layers(noise)[..., :height, :width]
        return images


class Discriminator(nn.Module):
    """Images (B, in_channels, H, W) to logits (B,), positive where they look real."""

    def __init__(self, *, in_channels: int, image_size: tuple[int, int], width: int, norm: str = "batch") -> None:
        super().__init__()
        widths = _widths(image_size, width)
        layers: list[nn.Module] = []
        for index, (before, after) in enumerate(zip([in_channels, *widths], widths, strict=False)):
            first = index == 0  # the paper leaves the norm out next to the image
            layers += [
                nn.Conv2d(before, after, 4, stride=2, padding=1, bias=first or norm == "none"),
                nn.Identity() if first else _norm(norm, after),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        grid = tuple(side // 2 ** len(widths) for side in image_size)
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, grid), nn.Flatten(0))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layers(images)
        return logits


class DCGAN(nn.Module):
    """A ``generator`` of (B, latent_dim) and a ``discriminator`` of (B, in_channels, H, W), any image size.

    Radford et al., "Unsupervised representation learning with deep convolutional generative adversarial
    networks" (2016). Between the noise and the image the side doubles as often as it takes from about 4
    pixels; what an uneven side leaves over is cropped. ``width`` is the number of channels next to the image,
    doubled at each layer up to 8 times. Real images are expected in [-1, 1], which is the range of the
    generator. ``discriminator_norm`` is batch, layer (over a sample's channels and pixels) or none: losses that look at
    each sample alone do not allow batch norm.
    Raises ``ValueError`` for images below 4x4, counts below 1 and another norm.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        image_size: tuple[int, int],
        latent_dim: int = 100,
        width: int = 64,
        discriminator_norm: str = "batch",
    ) -> None:
        super().__init__()
        rows, columns = image_size
        if min(rows, columns) < _MINIMUM_PIXELS:
            raise ValueError(
                f"model=dcgan needs images of at least {_MINIMUM_PIXELS}x{_MINIMUM_PIXELS} pixels, "
                f"got {rows}x{columns}; set dataset.image_size=32"
            )
        if latent_dim < 1:
            raise ValueError(f"model.latent_dim must be at least 1, got {latent_dim}; set model.latent_dim=100")
        if width < 1:
            raise ValueError(f"model.width must be at least 1, got {width}; set model.width=64")
        self.latent_dim = latent_dim
        self.generator = Generator(in_channels=in_channels, image_size=image_size, latent_dim=latent_dim, width=width)
        self.discriminator = Discriminator(
            in_channels=in_channels, image_size=image_size, width=width, norm=discriminator_norm
        )
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(module.weight, std=_WEIGHT_STD)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, mean=1.0, std=_WEIGHT_STD)

    def forward(self, noise: Tensor) -> Tensor:
        """Draw images (B, in_channels, H, W) from noise (B, latent_dim)."""
        images: Tensor = self.generator(noise)
        return images


def _widths(image_size: tuple[int, int], width: int) -> list[int]:
    """The channels of each halving, from the image inwards."""
    halvings = max(1, round(math.log2(min(image_size) / 4)))
    return [width * min(2**index, _WIDEST) for index in range(halvings)]


def _norm(kind: str, channels: int) -> nn.Module:
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "layer":
        return nn.GroupNorm(1, channels)
    if kind == "none":
        return nn.Identity()
    raise ValueError(
        f"model.discriminator_norm must be batch, layer or none, got {kind!r}; set model.discriminator_norm=batch"
    )
