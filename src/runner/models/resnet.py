"""Residual networks: basic, bottleneck and wide blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

_SMALL_BELOW_PIXELS = 64


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: (B, in_channels, H, W) to (B, width, H/stride, W/stride)."""

    expansion: ClassVar[int] = 1

    def __init__(self, in_channels: int, width: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.shortcut = _projection(in_channels, width, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return F.relu(y + self.shortcut(x))


class BottleneckBlock(nn.Module):
    """1x1, 3x3, 1x1 convolutions, shortcut: (B, in_channels, H, W) to (B, 4*width, H/stride, W/stride)."""

    expansion: ClassVar[int] = 4

    def __init__(self, in_channels: int, width: int, *, stride: int) -> None:
        super().__init__()
        out_channels = width * self.expansion
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(out_channels)
        self.shortcut = _projection(in_channels, out_channels, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        y = F.relu(self.norm2(self.conv2(y)))
        y = self.norm3(self.conv3(y))
        return F.relu(y + self.shortcut(x))


class WideBlock(nn.Module):
    """Pre-activation block with dropout between its 3x3 convolutions: to (B, width, H/stride, W/stride)."""

    def __init__(self, in_channels: int, width: int, *, stride: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.projects = stride != 1 or in_channels != width
        self.shortcut = nn.Conv2d(in_channels, width, 1, stride, bias=False) if self.projects else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        activated = F.relu(self.norm1(x))
        y = self.dropout(F.relu(self.norm2(self.conv1(activated))))
        shortcut: Tensor = self.shortcut(activated if self.projects else x)
        added: Tensor = shortcut + self.conv2(y)
        return added


class ResNet(nn.Module):
    """Images (B, in_channels, H, W) of any size to logits (B, num_classes).

    He et al., "Deep residual learning for image recognition" (2016). Stage i has ``layers[i]`` blocks of
    width ``width * 2**i``: basic with [2, 2, 2, 2] and width 64 is ResNet-18, bottleneck with [3, 4, 6, 3] is
    ResNet-50. ``stem`` "imagenet" is the paper's 7x7 convolution with stride 2 and pooling, "small" a 3x3
    convolution that keeps the resolution, as in the paper's section 4.2, "strided" one that halves it, which
    costs a quarter, and "auto" is "small" where a side is below 64 pixels, else "imagenet".
    Raises ``ValueError`` for an unknown ``block`` or ``stem`` and for empty ``layers``.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        image_size: tuple[int, int],
        num_classes: int,
        block: str = "basic",
        layers: Sequence[int] = (2, 2, 2, 2),
        width: int = 64,
        stem: str = "auto",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        blocks: dict[str, type[BasicBlock] | type[BottleneckBlock]] = {
            "basic": BasicBlock,
            "bottleneck": BottleneckBlock,
        }
        if block not in blocks:
            raise ValueError(f"model.block must be basic or bottleneck, got {block}; set model.block=basic")
        if not layers or min(layers) < 1:
            raise ValueError(f"model.layers needs a positive count for each stage, got {list(layers)}; set [2,2,2,2]")
        self.stem = _stem(stem, in_channels, width, image_size=image_size)
        channels = width
        stages: list[nn.Module] = []
        for index, count in enumerate(layers):
            stage: list[nn.Module] = []
            for position in range(count):
                stride = 2 if index > 0 and position == 0 else 1
                stage.append(blocks[block](channels, width * 2**index, stride=stride))
                channels = width * 2**index * blocks[block].expansion
            stages.append(nn.Sequential(*stage))
        self.stages = nn.Sequential(*stages)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels, num_classes)
        _initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        pooled = self.stages(self.stem(images)).mean((2, 3))  # (B, channels)
        logits: Tensor = self.head(self.dropout(pooled))
        return logits


class WideResNet(nn.Module):
    """Images (B, in_channels, H, W) of any size to logits (B, num_classes).

    Zagoruyko and Komodakis, "Wide residual networks" (2016): WRN-``depth``-``widen_factor``.
    Raises ``ValueError`` for a ``depth`` that is not 6n + 4.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        depth: int = 28,
        widen_factor: int = 10,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        blocks_per_stage, rest = divmod(depth - 4, 6)
        if rest or blocks_per_stage < 1:
            raise ValueError(f"model.depth must be 10, 16, 22, 28, … (6n + 4), got {depth}; set model.depth=28")
        if widen_factor < 1:
            raise ValueError(f"model.widen_factor must be at least 1, got {widen_factor}; set model.widen_factor=10")
        channels = 16
        self.stem = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        blocks: list[nn.Module] = []
        for index in range(3):
            for position in range(blocks_per_stage):
                stride = 2 if index > 0 and position == 0 else 1
                width = 16 * widen_factor * 2**index
                blocks.append(WideBlock(channels, width, stride=stride, dropout=dropout))
                channels = width
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(channels)
        self.head = nn.Linear(channels, num_classes)
        _initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        features = F.relu(self.norm(self.blocks(self.stem(images))))
        logits: Tensor = self.head(features.mean((2, 3)))
        return logits


def _projection(in_channels: int, out_channels: int, *, stride: int) -> nn.Module:
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels))


def _stem(kind: str, in_channels: int, width: int, *, image_size: tuple[int, int]) -> nn.Sequential:
    if kind not in ("auto", "small", "strided", "imagenet"):
        raise ValueError(f"model.stem must be auto, small, strided or imagenet, got {kind}; set model.stem=auto")
    if kind == "auto":
        kind = "small" if min(image_size) < _SMALL_BELOW_PIXELS else "imagenet"
    if kind != "imagenet":
        stride = 2 if kind == "strided" else 1
        convolution = nn.Conv2d(in_channels, width, 3, stride, padding=1, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True))
    return nn.Sequential(
        nn.Conv2d(in_channels, width, 7, stride=2, padding=3, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2, padding=1),
    )


def _initialise(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
