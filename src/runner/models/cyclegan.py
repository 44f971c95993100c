"""Generators between two kinds of images, there and back, and a discriminator of each kind."""

from __future__ import annotations

from torch import Tensor, nn

from runner.models.translation import make_discriminator, make_generator


class CycleGAN(nn.Module):
    """``generators`` "there" and "back", ``discriminators`` of each "input" and "target".

    Zhu et al., "Unpaired image-to-image translation using cycle-consistent adversarial networks" (2017), for any size.
    "there" turns inputs (B, in_channels, H, W) into targets (B, out_channels, H, W), "back" these into those.
    ``norm`` and ``discriminator_norm`` are batch, instance, layer or none.
    Raises ``ValueError`` for settings that do not fit each other or the images.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        image_size: tuple[int, int],
        generator: str = "resnet",
        width: int = 64,
        levels: int | None = None,
        blocks: int = 9,
        norm: str = "instance",
        dropout: float = 0.0,
        discriminator_width: int = 64,
        discriminator_layers: int = 3,
        discriminator_norm: str = "instance",
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.image_size = in_channels, out_channels, image_size

        def between(before: int, after: int) -> nn.Module:
            return make_generator(
                generator,
                in_channels=before,
                out_channels=after,
                image_size=image_size,
                width=width,
                levels=levels,
                blocks=blocks,
                norm=norm,
                dropout=dropout,
            )

        def judge(channels: int) -> nn.Module:
            return make_discriminator(
                in_channels=channels,
                image_size=image_size,
                width=discriminator_width,
                layers=discriminator_layers,
                norm=discriminator_norm,
            )

        self.generators = nn.ModuleDict(
            {"there": between(in_channels, out_channels), "back": between(out_channels, in_channels)}
        )
        self.discriminators = nn.ModuleDict({"input": judge(in_channels), "target": judge(out_channels)})

    def forward(self, images: Tensor) -> Tensor:
        """Turn inputs into targets."""
        drawn: Tensor = self.generators["there"](images)
        return drawn
