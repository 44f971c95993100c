"""AlexNet, with a stem for small images too."""

from __future__ import annotations

from torch import Tensor, nn

_SMALL_BELOW_PIXELS = 64
_MINIMUM_PIXELS = {"small": 8, "imagenet": 63}
_LARGEST_GRID = 6  # of the paper's features, from 224 pixels


class AlexNet(nn.Module):
    """Five convolutions and three linear layers; images (B, in_channels, H, W) to logits (B, num_classes).

    Krizhevsky, "One weird trick for parallelizing convolutional neural networks" (2014), the one-tower form
    of Krizhevsky et al., "ImageNet classification with deep convolutional neural networks" (2012). ``stem``
    "imagenet" is the paper's 11x11 convolution with stride 4, "small" a 3x3 convolution that keeps the
    resolution, and "auto" is "small" where a side is below 64 pixels. ``hidden`` is the width of the linear
    layers.
    Raises ``ValueError`` for an unknown ``stem`` and for images below 8x8 ("small") or 63x63 ("imagenet").
    """

    def __init__(
        self,
        *,
        in_channels: int,
        image_size: tuple[int, int],
        num_classes: int,
        stem: str = "auto",
        hidden: int = 4096,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        kind = _kind(stem, image_size)
        self.features = _features(in_channels, kind)
        rows, columns = (_features_side(side, kind) for side in image_size)
        grid = (min(rows, _LARGEST_GRID), min(columns, _LARGEST_GRID))
        # An adaptive pool that changes nothing would still cost determinism on a GPU.
        self.pool = nn.Identity() if grid == (rows, columns) else nn.AdaptiveAvgPool2d(grid)
        self.head = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(256 * grid[0] * grid[1], hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        features = self.pool(self.features(images))
        logits: Tensor = self.head(features.flatten(1))
        return logits


def _kind(stem: str, image_size: tuple[int, int]) -> str:
    if stem not in ("auto", "small", "imagenet"):
        raise ValueError(f"model.stem must be auto, small or imagenet, got {stem}; set model.stem=auto")
    height, width = image_size
    kind = stem
    if stem == "auto":
        kind = "small" if min(height, width) < _SMALL_BELOW_PIXELS else "imagenet"
    minimum = _MINIMUM_PIXELS[kind]
    if min(height, width) < minimum:
        remedy = "dataset.image_size=8" if kind == "small" else "model.stem=auto"
        raise ValueError(
            f"model=alexnet with the {kind} stem needs images of at least {minimum}x{minimum} pixels, "
            f"got {height}x{width}; set {remedy}"
        )
    return kind


def _features(in_channels: int, kind: str) -> nn.Sequential:
    convolution = (
        nn.Conv2d(in_channels, 64, 11, stride=4, padding=2)
        if kind == "imagenet"
        else nn.Conv2d(in_channels, 64, 3, padding=1)
    )
    pixels = 3 if kind == "imagenet" else 2  # the paper's overlapping pooling costs a small image pixels
    return nn.Sequential(
        convolution,
        nn.ReLU(inplace=True),
        nn.MaxPool2d(pixels, 2),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(pixels, 2),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(pixels, 2),
    )


def _features_side(side: int, kind: str) -> int:
    if kind == "small":
        return side // 8
    side = (side - 7) // 4 + 1
    for _ in range(3):
        side = (side - 3) // 2 + 1
    return side
