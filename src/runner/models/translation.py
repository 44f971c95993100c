"""Networks that turn images of one kind into images of another, and the discriminators that judge them by patches."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_WEIGHT_STD = 0.02
_WIDEST = 8  # the deepest layers have this many times the width of the layer next to the image
_DROPPED = 3  # layers of the decoder, from the innermost on, whose activations are dropped


class UNetGenerator(nn.Module):
    """Images (B, in_channels, H, W) to images (B, out_channels, H, W) in [-1, 1], details over skip connections.

    Isola et al., "Image-to-image translation with conditional adversarial networks" (2017), section 6.1.1: each of
    ``levels`` halves the image by a strided convolution and doubles it again. Sides are padded to whole halvings.
    """

    def __init__(
        self, *, in_channels: int, out_channels: int, width: int, levels: int, norm: str, dropout: float
    ) -> None:
        super().__init__()
        self.multiple = 2**levels
        widths = [width * min(2**level, _WIDEST) for level in range(levels)]
        self.downs = nn.ModuleList()
        for level, (before, after) in enumerate(pairwise([in_channels, *widths])):
            layers: list[nn.Module] = [nn.LeakyReLU(0.2)] if level else []
            layers.append(nn.Conv2d(before, after, 4, stride=2, padding=1, bias=level == 0 or norm == "none"))
            self.downs.append(nn.Sequential(*layers, *([_norm(norm, after)] if level else [])))
        self.ups = nn.ModuleList()
        for depth, (before, after) in enumerate(pairwise(widths[::-1])):
            doubled = before if depth == 0 else 2 * before  # its own and the skip's
            convolution = nn.ConvTranspose2d(doubled, after, 4, stride=2, padding=1, bias=norm == "none")
            rest = [nn.Dropout(dropout)] if depth < _DROPPED else []
            self.ups.append(nn.Sequential(nn.ReLU(), convolution, _norm(norm, after), *rest))
        last = width if levels == 1 else 2 * width
        self.head = nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(last, out_channels, 4, stride=2, padding=1), nn.Tanh())

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        x = F.pad(images, (0, -width % self.multiple, 0, -height % self.multiple))
        skips: list[Tensor] = []
        for down in self.downs:
            x = down(x)
            skips.append(x)
        skips.pop()
        for up in self.ups:
            x = torch.cat([up(x), skips.pop()], dim=1)
        drawn: Tensor = self.head(x)[..., :height, :width]
        return drawn


class ResidualBlock(nn.Module):
    """x plus two 3x3 convolutions of it."""

    def __init__(self, channels: int, *, norm: str, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_convolution(channels, channels, 3, norm=norm),
            nn.ReLU(),
            nn.Dropout(dropout),
            *_convolution(channels, channels, 3, norm=norm),
        )

    def forward(self, x: Tensor) -> Tensor:
        summed: Tensor = x + self.layers(x)
        return summed


class ResNetGenerator(nn.Module):
    """Images (B, in_channels, H, W) to images (B, out_channels, H, W) in [-1, 1] by residual blocks at a quarter size.

    Johnson et al., "Perceptual losses for real-time style transfer and super-resolution" (2016), as in Zhu et al.,
    "Unpaired image-to-image translation using cycle-consistent adversarial networks" (2017), section 7.2, with
    ``blocks`` of them. Sides are padded to whole quarters.
    """

    def __init__(
        self, *, in_channels: int, out_channels: int, width: int, blocks: int, norm: str, dropout: float
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [*_convolution(in_channels, width, 7, norm=norm), nn.ReLU()]
        for channels in (width, 2 * width):
            halving = nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1, bias=norm == "none")
            layers += [halving, _norm(norm, 2 * channels), nn.ReLU()]
        layers += [ResidualBlock(4 * width, norm=norm, dropout=dropout) for _ in range(blocks)]
        for channels in (2 * width, width):
            doubling = nn.ConvTranspose2d(
                2 * channels, channels, 3, stride=2, padding=1, output_padding=1, bias=norm == "none"
            )
            layers += [doubling, _norm(norm, channels), nn.ReLU()]
        self.layers = nn.Sequential(*layers, *_convolution(width, out_channels, 7, norm=""), nn.Tanh())

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        padded = F.pad(images, (0, -width % 4, 0, -height % 4))
        drawn: Tensor = self.layers(padded)[..., :height, :width]
        return drawn


class PatchDiscriminator(nn.Sequential):
    """Images (B, in_channels, H, W) to logits (B, 1, h, w), one for each patch: positive where it looks real.

    Isola et al. (2017), section 6.1.2. A patch is 16, 34 or 70 pixels wide with 1, 2 or 3 ``layers``.
    """

    def __init__(self, *, in_channels: int, width: int, layers: int, norm: str) -> None:
        widths = [width * min(2**layer, _WIDEST) for layer in range(layers + 1)]
        parts: list[nn.Module] = []
        for layer, (before, after) in enumerate(pairwise([in_channels, *widths])):
            plain = layer == 0  # the paper leaves the norm out next to the image
            parts += [
                nn.Conv2d(before, after, 4, stride=2 if layer < layers else 1, padding=1, bias=plain or norm == "none"),
                nn.Identity() if plain else _norm(norm, after),
                nn.LeakyReLU(0.2),
            ]
        super().__init__(*parts, nn.Conv2d(widths[-1], 1, 4, padding=1))


def make_generator(
    kind: str,
    *,
    in_channels: int,
    out_channels: int,
    image_size: tuple[int, int],
    width: int,
    levels: int | None,
    blocks: int,
    norm: str,
    dropout: float,
) -> nn.Module:
    """A "unet" of ``levels`` (None: down to 2 to 4 pixels, at most 8) or a "resnet" of ``blocks``, untrained.

    Raises ``ValueError`` for another ``kind``, and for numbers that do not fit the images.
    """
    most = max(1, math.floor(math.log2(min(image_size))) - 1)
    if width < 1 or blocks < 1:
        raise ValueError(f"model.width and model.blocks must be at least 1, got {width} and {blocks}")
    if min(image_size) < 8:
        raise ValueError(f"images of at least 8x8 pixels are needed, got {image_size}; set dataset.image_size=32")
    if not 0 <= dropout < 1:
        raise ValueError(f"model.dropout must lie in [0, 1), got {dropout}; set model.dropout=0.5")
    if kind == "unet":
        if levels is not None and not 1 <= levels <= most:
            raise ValueError(f"model.levels must lie between 1 and {most} for images of {image_size}, got {levels}")
        made: nn.Module = UNetGenerator(
            in_channels=in_channels,
            out_channels=out_channels,
            width=width,
            levels=levels or min(most, 8),
            norm=norm,
            dropout=dropout,
        )
    elif kind == "resnet":
        made = ResNetGenerator(
            in_channels=in_channels, out_channels=out_channels, width=width, blocks=blocks, norm=norm, dropout=dropout
        )
    else:
        raise ValueError(f"model.generator must be unet or resnet, got {kind!r}; set model.generator=unet")
    return made.apply(_begin)


def make_discriminator(
    *, in_channels: int, image_size: tuple[int, int], width: int, layers: int, norm: str
) -> nn.Module:
    """Of patches, weights as first set. Raises ``ValueError`` for more ``layers`` than the images have patches for."""
    most = int(math.log2(min(image_size) / 3)) if min(image_size) >= 3 else 0
    if not 1 <= layers <= most:
        raise ValueError(
            f"model.discriminator_layers must lie between 1 and {most} for images of {image_size}, got {layers}; "
            f"set model.discriminator_layers={max(most, 1)}"
        )
    if width < 1:
        raise ValueError(f"model.discriminator_width must be at least 1, got {width}; set model.discriminator_width=64")
    return PatchDiscriminator(in_channels=in_channels, width=width, layers=layers, norm=norm).apply(_begin)


def _convolution(before: int, after: int, size: int, *, norm: str) -> list[nn.Module]:
    """A convolution that keeps the side, reflected at the border; with no norm ("") it has nothing behind it."""
    bias = norm in ("", "none")
    convolution = nn.Conv2d(before, after, size, padding=size // 2, padding_mode="reflect", bias=bias)
    return [convolution, *([_norm(norm, after)] if norm else [])]


def _norm(kind: str, channels: int) -> nn.Module:
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "instance":
        return nn.InstanceNorm2d(channels, affine=True)
    if kind == "layer":
        return nn.GroupNorm(1, channels)
    if kind == "none":
        return nn.Identity()
    raise ValueError(f"a norm must be batch, instance, layer or none, got {kind!r}; set model.norm=instance")


def _begin(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, std=_WEIGHT_STD)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, mean=1.0, std=_WEIGHT_STD)
