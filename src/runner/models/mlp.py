"""A multilayer perceptron."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class MLP(nn.Module):
    """Linear layers on the flattened image; (B, in_channels, H, W) to logits (B, num_classes).

    Rumelhart et al., "Learning representations by back-propagating errors" (1986), with ReLU. ``hidden`` are
    the widths of the hidden layers; without any it is multinomial logistic regression.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        image_size: tuple[int, int],
        num_classes: int,
        hidden: Sequence[int] = (512, 256),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if any(width < 1 for width in hidden):
            raise ValueError(f"model.hidden needs positive widths, got {list(hidden)}; set model.hidden=[512,256]")
        layers: list[nn.Module] = [nn.Flatten()]
        features = in_channels * image_size[0] * image_size[1]
        for width in hidden:
            layers += [nn.Linear(features, width), nn.ReLU(inplace=True), nn.Dropout(dropout)]
            features = width
        self.layers = nn.Sequential(*layers, nn.Linear(features, num_classes))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layers(images)
        return logits
