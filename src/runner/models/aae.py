"""The networks of an adversarial autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from runner.models.cae import CAE


class AAE(nn.Module):
    """An ``autoencoder`` of images (B, in_channels, H, W) and a ``discriminator`` of its codes (B, K + latent_dim).

    Makhzani et al., "Adversarial autoencoders" (2015), with the convolutions of ``CAE`` in place of two linear layers.
    With ``categorical`` the first K = ``num_classes`` numbers of a code are the probabilities q(y|x) of section 5, and
    the others are the style; without it K is 0. ``hidden`` are the widths of a discriminator's layers; the two parts of
    a code have one each.
    Raises ``ValueError`` as ``CAE`` does, and for empty ``hidden``.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        image_size: tuple[int, int],
        num_classes: int,
        channels: Sequence[int] = (32, 64, 128),
        latent_dim: int = 8,
        norm: str = "none",
        output_activation: str = "none",
        hidden: Sequence[int] = (256, 256),
        categorical: bool = False,
    ) -> None:
        super().__init__()
        if not hidden or min(hidden) < 1:
            raise ValueError(f"model.hidden needs positive widths, got {list(hidden)}; set model.hidden=[256,256]")
        self.categories = num_classes if categorical else 0
        self.latent_dim = latent_dim
        self.autoencoder = CAE(
            in_channels=in_channels,
            image_size=image_size,
            channels=channels,
            latent_dim=self.categories + latent_dim,
            norm=norm,
            output_activation=output_activation,
        )
        if categorical:
            self.autoencoder.encoder.append(LeadingSoftmax(self.categories))
        self.discriminator = CodeDiscriminator([*([self.categories] if categorical else []), latent_dim], hidden)

    def forward(self, images: Tensor) -> Tensor:
        rebuilt: Tensor = self.autoencoder(images)
        return rebuilt


class LeadingSoftmax(nn.Module):
    """Makes probabilities of the first ``count`` columns of (B, count + D), and leaves the others."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, codes: Tensor) -> Tensor:
        return torch.cat((codes[:, : self.count].softmax(1), codes[:, self.count :].float()), dim=1)


class CodeDiscriminator(nn.Module):
    """Codes (B, sum of ``parts``) to a logit for each part (B, len(parts)), positive where it looks like its prior."""

    def __init__(self, parts: Sequence[int], hidden: Sequence[int]) -> None:
        super().__init__()
        self.parts = list(parts)
        self.judges = nn.ModuleList(_perceptron([part, *hidden]) for part in parts)

    def forward(self, codes: Tensor) -> Tensor:
        pieces = torch.split(codes, self.parts, dim=1)
        return torch.cat([judge(piece) for judge, piece in zip(self.judges, pieces, strict=True)], dim=1)


def _perceptron(widths: Sequence[int]) -> nn.Sequential:
    layers = [layer for given, made in pairwise(widths) for layer in (nn.Linear(given, made), nn.LeakyReLU(0.2))]
    return nn.Sequential(*layers, nn.Linear(widths[-1], 1))
