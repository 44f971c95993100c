"""Principal components as an autoencoder: the baseline that a nonlinear one has to beat."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

METHODS = ("full", "incremental")


class PCA(nn.Module):
    """Images (B, in_channels, H, W) to their first ``latent_dim`` principal components and back.

    Pearson, "On lines and planes of closest fit to systems of points in space" (1901), fitted by scikit-learn before
    training: ``method`` "full" decomposes all images that it is shown at once, "incremental" a batch at a time (Ross et
    al., "Incremental learning for robust visual tracking", 2008), in a memory that does not grow with their number.
    Its weights are those of a linear autoencoder with encoder and decoder tied, which no gradient improves on the
    images that it was fitted to (Baldi and Hornik, "Neural networks and principal component analysis", 1989): with
    ``optimizer.lr=0`` they stay as fitted.
    Raises ``ValueError`` for another ``method``, and for a ``latent_dim`` that is not between 1 and C * H * W.
    """

    def __init__(
        self, *, in_channels: int, image_size: tuple[int, int], latent_dim: int = 64, method: str = "full"
    ) -> None:
        super().__init__()
        self.shape = (in_channels, *image_size)
        values = math.prod(self.shape)
        if method not in METHODS:
            raise ValueError(f"model.method must be full or incremental, got {method}; set model.method=full")
        if not 1 <= latent_dim <= values:
            raise ValueError(
                f"model.latent_dim must lie between 1 and {values}, the values of an image, got {latent_dim}; "
                f"set model.latent_dim={min(values, 64)}"
            )
        self.latent_dim = latent_dim
        self.method = method
        self.mean = nn.Parameter(torch.zeros(values))
        self.components = nn.Parameter(torch.zeros(latent_dim, values))  # orthonormal rows, the largest variance first

    def initialise_from_data(self, images: Tensor) -> None:
        """Fit mean and components to images (N, in_channels, H, W); what N images cannot tell stays zero."""
        from sklearn import decomposition

        count, full = min(self.latent_dim, len(images)), self.method == "full"
        fit = decomposition.PCA(count, svd_solver="full") if full else decomposition.IncrementalPCA(count)
        fit.fit(images.flatten(1).double().numpy())
        with torch.no_grad():
            self.mean.copy_(torch.from_numpy(fit.mean_))
            self.components.zero_()[:count] = torch.from_numpy(fit.components_).to(self.components)

    def encode(self, images: Tensor) -> Tensor:
        """Images (B, in_channels, H, W) to codes (B, latent_dim)."""
        return (images.flatten(1) - self.mean) @ self.components.T

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, latent_dim) to images (B, in_channels, H, W)."""
        return (codes @ self.components + self.mean).view(-1, *self.shape)

    def forward(self, images: Tensor) -> Tensor:
        return self.decode(self.encode(images))
