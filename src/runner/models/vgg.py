"""VGG for images of 32 pixels and more."""

from __future__ import annotations

from torch import Tensor, nn

_CONVOLUTIONS_PER_STAGE = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
_WIDTHS = (64, 128, 256, 512, 512)
_MINIMUM_PIXELS = 2 ** len(_WIDTHS)  # each stage halves the image


class VGG(nn.Module):
    """Stacks of 3x3 convolutions with batch norm; images (B, in_channels, H, W) to logits (B, num_classes).

    Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition" (2015), with
    batch normalisation and, as usual for small images, one linear layer on the globally pooled features for a
    head.
    Raises ``ValueError`` for images below 32x32 and for a ``depth`` other than 11, 13, 16 or 19.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        image_size: tuple[int, int],
        num_classes: int,
        depth: int = 16,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if depth not in _CONVOLUTIONS_PER_STAGE:
            raise ValueError(f"model.depth must be 11, 13, 16 or 19, got {depth}; set model.depth=16")
        height, width = image_size
        if min(height, width) < _MINIMUM_PIXELS:
            raise ValueError(
                f"model=vgg{depth} needs images of at least {_MINIMUM_PIXELS}x{_MINIMUM_PIXELS} pixels, "
                f"got {height}x{width}; set dataset.image_size={_MINIMUM_PIXELS}"
            )
        layers: list[nn.Module] = []
        channels = in_channels
        for stage_width, convolutions in zip(_WIDTHS, _CONVOLUTIONS_PER_STAGE[depth], strict=True):
            for _ in range(convolutions):
                layers += [
                    nn.Conv2d(channels, stage_width, 3, padding=1, bias=False),
                    nn.BatchNorm2d(stage_width),
                    nn.ReLU(inplace=True),
                ]
                channels = stage_width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels, num_classes)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        pooled = self.features(images).mean((2, 3))  # (B, 512)
        logits: Tensor = self.head(self.dropout(pooled))
        return logits
