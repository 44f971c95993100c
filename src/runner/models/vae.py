"""A convolutional variational autoencoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from runner.models.cae import check_sizes, decoder, encoder, grid_of, he_normal


class VAE(nn.Module):
    """Images (B, in_channels, H, W) to a normal distribution over codes (B, latent_dim), and codes back to images.

    Kingma and Welling, "Auto-encoding variational Bayes" (2014), between the layers of ``CAE``. What it gives for
    images has no activation: for ``loss=bce`` they are logits. Each entry of ``channels`` halves the image; ``norm`` is
    "none" or "batch".
    Raises ``ValueError`` for another, for empty ``channels`` and for a ``latent_dim`` below 1.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        image_size: tuple[int, int],
        channels: Sequence[int] = (32, 64, 128),
        latent_dim: int = 20,
        norm: str = "none",
    ) -> None:
        super().__init__()
        check_sizes(channels, latent_dim=latent_dim, norm=norm)
        self.image_size = image_size
        self.latent_dim = latent_dim
        grid = grid_of(image_size, channels)
        self.encoder = encoder(in_channels, channels, grid=grid, latent_dim=2 * latent_dim, norm=norm)
        self.decoder = decoder(in_channels, channels, grid=grid, latent_dim=latent_dim, norm=norm)
        self.apply(he_normal)

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, (B, latent_dim) each, of q(z|x)."""
        mean, log_variance = self.encoder(images).chunk(2, dim=1)
        return mean, log_variance

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, latent_dim) to images (B, in_channels, H, W)."""
        height, width = self.image_size
        images: Tensor = self.decoder(codes)[..., :height, :width]
        return images

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What one code drawn from q(z|x) is decoded to, and the mean and log-variance that it was drawn from."""
        mean, log_variance = self.posterior(images)
        codes = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        return self.decode(codes), mean, log_variance
