"""A generator from one kind of image to another, and a discriminator of the two together."""

from __future__ import annotations

from torch import Tensor, nn

from runner.models.translation import make_discriminator, make_generator


class Pix2pix(nn.Module):
    """A ``generator`` of (B, in_channels, H, W) and a ``discriminator`` of input and output, one behind the other.

    Isola et al., "Image-to-image translation with conditional adversarial networks" (2017), for any size: a ``unet`` or
    a ``resnet`` against patches. ``norm`` and ``discriminator_norm`` are batch, instance, layer or none.
    Raises ``ValueError`` for settings that do not fit each other or the images.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        image_size: tuple[int, int],
        generator: str = "unet",
        width: int = 64,
        levels: int | None = None,
        blocks: int = 6,
        norm: str = "batch",
        dropout: float = 0.5,
        discriminator_width: int = 64,
        discriminator_layers: int = 3,
        discriminator_norm: str = "batch",
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.generator = make_generator(
            generator,
            in_channels=in_channels,
            out_channels=out_channels,
            image_size=image_size,
            width=width,
            levels=levels,
            blocks=blocks,
            norm=norm,
            dropout=dropout,
        )
        self.discriminator = make_discriminator(
            in_channels=in_channels + out_channels,
            image_size=image_size,
            width=discriminator_width,
            layers=discriminator_layers,
            norm=discriminator_norm,
        )

    def forward(self, images: Tensor) -> Tensor:
        """Draw what belongs to ``images``."""
        drawn: Tensor = self.generator(images)
        return drawn
