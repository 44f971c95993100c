"""U-Net in two dimensions, for pixels, whole images and classes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_GROUPS = 8


class DoubleConvolution(nn.Sequential):
    """Twice: 3x3 convolution, norm, ReLU; (B, in_channels, H, W) to (B, out_channels, H, W)."""

    def __init__(self, in_channels: int, out_channels: int, *, norm: str, dropout: float) -> None:
        layers: list[nn.Module] = []
        for channels in (in_channels, out_channels):
            layers += [
                nn.Conv2d(channels, out_channels, 3, padding=1, bias=norm == "none"),
                _norm(norm, out_channels),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers, nn.Dropout2d(dropout))


class UNet(nn.Module):
    """An encoder and a decoder with skip connections, for images (B, in_channels, H, W) of any size.

    Ronneberger et al., "U-Net: convolutional networks for biomedical image segmentation" (2015), with padded
    convolutions, so that the output has the input's size. ``levels`` is how often the image is halved,
    ``channels`` the width at full size, doubled at each level. What comes out depends on ``output``:

    - "pixels": a logit for each class and pixel, (B, num_classes, H, W);
    - "classes": the same averaged over the pixels, (B, num_classes);
    - "image": an image of the input's shape, (B, in_channels, H, W).

    Raises ``ValueError`` for another ``output``, a ``norm`` other than batch, group or none, counts that do not fit,
    and an ``image_size`` of volumes.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        image_size: Sequence[int] | None = None,
        output: str = "classes",
        channels: int = 32,
        levels: int = 4,
        norm: str = "batch",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if output not in ("classes", "pixels", "image"):
            raise ValueError(f"model=unet can give classes, pixels or image, got output={output}")
        if image_size is not None and len(image_size) != 2:
            raise ValueError("model=unet takes images of height and width, but the data are volumes; set model=unet3d")
        if levels < 1:
            raise ValueError(f"model.levels must be at least 1, got {levels}; set model.levels=4")
        if channels < 1:
            raise ValueError(f"model.channels must be at least 1, got {channels}; set model.channels=32")
        widths = [channels * 2**level for level in range(levels + 1)]
        self.output = output
        self.multiple = 2**levels
        self.pool = nn.MaxPool2d(2)
        self.encoders = nn.ModuleList(
            DoubleConvolution(before, width, norm=norm, dropout=dropout)
            for before, width in zip([in_channels, *widths], widths, strict=False)
        )
        self.ups = nn.ModuleList(nn.ConvTranspose2d(2 * width, width, 2, stride=2) for width in reversed(widths[:-1]))
        self.decoders = nn.ModuleList(
            DoubleConvolution(2 * width, width, norm=norm, dropout=dropout) for width in reversed(widths[:-1])
        )
        self.head = nn.Conv2d(channels, in_channels if output == "image" else num_classes, 1)
        self._initialise()

    def _initialise(self) -> None:
        for module in [*self.encoders.modules(), *self.decoders.modules()]:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        across, down = -width % self.multiple, -height % self.multiple  # what is missing for whole halvings
        left, top = across // 2, down // 2
        x = F.pad(images, (left, across - left, top, down - top))
        skips: list[Tensor] = []
        for encoder in self.encoders:
            x = encoder(self.pool(x) if skips else x)
            skips.append(x)
        skips.pop()
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            x = decoder(torch.cat([skips.pop(), up(x)], dim=1))
        x = x[..., top : top + height, left : left + width]
        pixels: Tensor = self.head(x)
        return pixels.mean((2, 3)) if self.output == "classes" else pixels


def _norm(kind: str, channels: int) -> nn.Module:
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "group":
        return nn.GroupNorm(math.gcd(_GROUPS, channels), channels)
    if kind == "none":
        return nn.Identity()
    raise ValueError(f"model.norm must be batch, group or none, got {kind}; set model.norm=batch")
