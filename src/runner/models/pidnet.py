"""A network for masks in real time: details, context and boundaries in branches of their own."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_WINDOWS = ((5, 2), (9, 4), (17, 8))  # of the context: kernel and stride


class PIDNet(nn.Module):
    """Three branches on a common stem; images (B, in_channels, H, W) of any size to logits (B, num_classes, H, W).

    In the manner of Xu et al., "PIDNet: a real-time semantic segmentation network inspired by PID controllers" (2023):
    P keeps the resolution and with it details, I goes on to an eighth of it for context, D finds boundaries. P takes
    from I what is alike, D what differs, and at the end D says at which pixels details count. The paper's loss on
    boundaries is left out. ``channels`` is the stem's width, ``blocks`` are those of each stage, and ``stem_halvings``
    how often the image is halved before the stages begin: 2 in the paper, 1 for small images; P halves it once more.
    Raises ``ValueError`` for a task that wants no masks, and numbers below 1.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        output: str = "pixels",
        channels: int = 32,
        blocks: int = 2,
        stem_halvings: int = 1,
    ) -> None:
        super().__init__()
        if output != "pixels":
            raise ValueError(f"model=pidnet gives a class for each pixel, got output={output}; set task=segmentation")
        for name, value in (("channels", channels), ("blocks", blocks), ("stem_halvings", stem_halvings)):
            if value < 1:
                raise ValueError(f"model.{name} must be at least 1, got {value}; set model.{name}=2")
        c = channels
        halvings = [_convolution(in_channels if place == 0 else c, c, stride=2) for place in range(stem_halvings)]
        self.stem = nn.Sequential(*halvings, _stage(c, c, blocks=blocks), _stage(c, 2 * c, blocks=blocks, stride=2))
        self.context3 = _stage(2 * c, 4 * c, blocks=blocks, stride=2)
        self.context4 = _stage(4 * c, 8 * c, blocks=blocks, stride=2)
        self.context5 = _stage(8 * c, 8 * c, blocks=1, stride=2)
        self.pyramid = Pyramid(8 * c, 4 * c)
        self.details3 = _stage(2 * c, 2 * c, blocks=blocks, active=False)
        self.details4 = _stage(2 * c, 2 * c, blocks=blocks, active=False)
        self.details5 = _stage(2 * c, 4 * c, blocks=1, active=False)
        self.alike3 = Alike(2 * c, 4 * c)
        self.alike4 = Alike(2 * c, 8 * c)
        self.bounds3 = _stage(2 * c, c, blocks=1, active=False)
        self.bounds4 = _stage(c, 2 * c, blocks=1, active=False)
        self.bounds5 = _stage(2 * c, 4 * c, blocks=1, active=False)
        self.differs3 = _convolution(4 * c, c, active=False)
        self.differs4 = _convolution(8 * c, 2 * c, active=False)
        self.fusion = Fusion(4 * c)
        self.head = nn.Sequential(_convolution(4 * c, 4 * c), nn.Conv2d(4 * c, num_classes, 1))

    def forward(self, images: Tensor) -> Tensor:
        stem = self.stem(images)
        details, bounds = self.details3(stem), self.bounds3(stem)
        context = self.context3(stem)
        details = self.alike3(details, context)
        bounds = bounds + _resized(self.differs3(context), bounds)
        details, bounds = self.details4(F.relu(details)), self.bounds4(F.relu(bounds))
        context = self.context4(context)
        details = self.alike4(details, context)
        bounds = bounds + _resized(self.differs4(context), bounds)
        details, bounds = self.details5(F.relu(details)), self.bounds5(F.relu(bounds))
        context = _resized(self.pyramid(self.context5(context)), details)
        logits: Tensor = self.head(self.fusion(details, context, bounds))
        return _resized(logits, images)


class Block(nn.Module):
    """Two 3x3 convolutions, added to what comes in; (B, in_channels, H, W) to (B, channels, H / stride, W / stride)."""

    def __init__(self, in_channels: int, channels: int, *, stride: int, active: bool) -> None:
        super().__init__()
        self.active = active
        self.inner = nn.Sequential(
            _convolution(in_channels, channels, stride=stride), _convolution(channels, channels, active=False)
        )
        same = stride == 1 and in_channels == channels
        self.skip = nn.Identity() if same else _convolution(in_channels, channels, size=1, stride=stride, active=False)

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = self.inner(x) + self.skip(x)
        return F.relu(added) if self.active else added


class Alike(nn.Module):
    """Pixel-attention-guided fusion: details take from the context where the two are alike; the details' shape."""

    def __init__(self, channels: int, context_channels: int) -> None:
        super().__init__()
        self.compressed = _convolution(context_channels, channels, size=1, active=False)
        self.of_details = _convolution(channels, channels // 2 or 1, size=1, active=False)
        self.of_context = _convolution(channels, channels // 2 or 1, size=1, active=False)

    def forward(self, details: Tensor, context: Tensor) -> Tensor:
        context = self.compressed(context)
        both = self.of_details(details) * _resized(self.of_context(context), details)
        alike = both.sum(1, keepdim=True).sigmoid()
        return torch.lerp(details, _resized(context, details), alike)


class Pyramid(nn.Module):
    """Means over windows of growing size beside each other, each pixel's and that of all; to (B, channels, H, W)."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        width = channels // 2 or 1
        pools = [nn.AvgPool2d(size, stride, size // 2, count_include_pad=False) for size, stride in _WINDOWS]
        self.pools = nn.ModuleList([nn.Identity(), *pools, nn.AdaptiveAvgPool2d(1)])
        self.reduced = nn.ModuleList(nn.Conv2d(in_channels, width, 1) for _ in self.pools)
        self.mixed = _convolution(len(self.pools) * width, channels)
        self.skip = _convolution(in_channels, channels, size=1, active=False)

    def forward(self, x: Tensor) -> Tensor:
        scales = [_resized(reduce(pool(x)), x) for pool, reduce in zip(self.pools, self.reduced, strict=True)]
        first, *wider = scales
        added: Tensor = self.mixed(torch.cat([first, *(first + scale for scale in wider)], dim=1)) + self.skip(x)
        return added


class Fusion(nn.Module):
    """Boundary-attention-guided fusion: details at boundaries, context elsewhere; all (B, channels, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.of_details = _convolution(channels, channels, size=1, active=False)
        self.of_context = _convolution(channels, channels, size=1, active=False)

    def forward(self, details: Tensor, context: Tensor, bounds: Tensor) -> Tensor:
        edge = bounds.sigmoid()
        fused: Tensor = self.of_details(details + (1 - edge) * context) + self.of_context(context + edge * details)
        return fused


def _convolution(
    in_channels: int, channels: int, *, size: int = 3, stride: int = 1, active: bool = True
) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, channels, size, stride=stride, padding=size // 2, bias=False)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    return nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU() if active else nn.Identity())


def _stage(in_channels: int, channels: int, *, blocks: int, stride: int = 1, active: bool = True) -> nn.Sequential:
    """Of ``blocks``, the last of which ends in a ReLU if ``active``."""
    widths = [in_channels] + [channels] * blocks
    return nn.Sequential(
        *(
            Block(before, width, stride=stride if place == 1 else 1, active=active or place < blocks)
            for place, (before, width) in enumerate(pairwise(widths), 1)
        )
    )


def _resized(x: Tensor, like: Tensor) -> Tensor:
    if x.shape[2:] == like.shape[2:]:
        return x
    return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)
