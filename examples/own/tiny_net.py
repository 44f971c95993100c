"""A model of one's own: a plain ``nn.Module``."""

from __future__ import annotations

from torch import Tensor, nn


class TinyNet(nn.Module):
    """Three convolutions and a linear layer; images (B, in_channels, H, W) to logits (B, num_classes).

    ``in_channels`` and ``num_classes`` are filled in from the data set because they are named here; a model that
    also names ``image_size`` or ``output`` is told those, too.
    """

    def __init__(self, *, in_channels: int, num_classes: int, width: int = 16) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, width, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1),
            nn.ReLU(),
        )
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(8 * width, num_classes))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(images))
        return logits
