"""LeNet-5."""

from __future__ import annotations

from torch import Tensor, nn

_MINIMUM_PIXELS = 12


class LeNet(nn.Module):
    """Two convolutions and three linear layers; images (B, in_channels, H, W) to logits (B, num_classes).

    LeCun et al., "Gradient-based learning applied to document recognition" (1998), with 28-pixel images
    padded to 32 as there, every feature map connected to every other, and a linear output. ``activation`` is
    "relu" or the paper's "tanh". Raises ``ValueError`` for another and for images below 12x12.
    """

    def __init__(
        self, *, in_channels: int, image_size: tuple[int, int], num_classes: int, activation: str = "relu"
    ) -> None:
        super().__init__()
        height, width = image_size
        if min(height, width) < _MINIMUM_PIXELS:
            raise ValueError(
                f"model=lenet needs images of at least {_MINIMUM_PIXELS}x{_MINIMUM_PIXELS} pixels, "
                f"got {height}x{width}; set dataset.image_size=28"
            )
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 6, 5, padding=2),
            _activation(activation),
            nn.AvgPool2d(2),
            nn.Conv2d(6, 16, 5),
            _activation(activation),
            nn.AvgPool2d(2),
        )
        rows, columns = ((side // 2 - 4) // 2 for side in image_size)
        self.head = nn.Sequential(
            nn.Linear(16 * rows * columns, 120),
            _activation(activation),
            nn.Linear(120, 84),
            _activation(activation),
            nn.Linear(84, num_classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(images).flatten(1))
        return logits


def _activation(kind: str) -> nn.Module:
    if kind == "relu":
        return nn.ReLU()
    if kind == "tanh":
        return nn.Tanh()
    raise ValueError(f"model.activation must be relu or tanh, got {kind}; set model.activation=relu")
