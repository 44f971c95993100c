"""Vision transformer."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_LARGEST_PATCH = 16
_FEWEST_PATCHES_ACROSS = 7
_MOST_PATCHES = 1024


class TransformerBlock(nn.Module):
    """Self-attention and a two-layer perceptron, each after a norm and added to its input; (B, N, D)."""

    def __init__(self, width: int, *, heads: int, mlp_width: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.norm1 = nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, mlp_width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(mlp_width, width),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + F.dropout(self._attention(self.norm1(x)), self.dropout, self.training)
        added: Tensor = x + self.mlp(self.norm2(x))
        return added

    def _attention(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        separate = self.queries_keys_values(x).view(batch, tokens, 3, self.heads, width // self.heads)
        queries, keys, values = separate.permute(2, 0, 3, 1, 4)  # each (B, heads, N, D / heads)
        attended = F.scaled_dot_product_attention(queries, keys, values)
        mixed: Tensor = self.projection(attended.transpose(1, 2).reshape(batch, tokens, width))
        return mixed


class ViT(nn.Module):
    """A transformer on square patches; images (B, in_channels, H, W) to logits (B, num_classes).

    Dosovitskiy et al., "An image is worth 16x16 words" (2021); the default is the tiny size of Touvron et
    al., "Training data-efficient image transformers" (2021). Without a ``patch_size`` it is the largest one
    up to 16 pixels that divides both sides and leaves at least 7 patches along each: 16 for 224 pixels, 4 for
    32 and 28, 1 for 8.
    Raises ``ValueError`` where the patches do not divide the image, or would be more than 1024.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        image_size: tuple[int, int],
        num_classes: int,
        patch_size: int | None = None,
        width: int = 192,
        depth: int = 12,
        heads: int = 3,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise ValueError(f"model.width must be a multiple of model.heads={heads}, got {width}; set model.heads=1")
        patch = _patch(patch_size, image_size)
        patches = (image_size[0] // patch) * (image_size[1] // patch)
        self.embedding = nn.Conv2d(in_channels, width, patch, stride=patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, patches + 1, width))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(
            *(
                TransformerBlock(width, heads=heads, mlp_width=int(width * mlp_ratio), dropout=dropout)
                for _ in range(depth)
            )
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, num_classes)
        self._initialise()

    def _initialise(self) -> None:
        nn.init.trunc_normal_(self.class_token, std=0.02)
        nn.init.trunc_normal_(self.positions, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        patches = self.embedding(images).flatten(2).transpose(1, 2)  # (B, N, D)
        tokens = torch.cat([self.class_token.expand(images.shape[0], -1, -1), patches], dim=1)
        features = self.norm(self.blocks(self.dropout(tokens + self.positions)))
        logits: Tensor = self.head(features[:, 0])
        return logits


def _patch(wanted: int | None, image_size: tuple[int, int]) -> int:
    height, width = image_size
    patch = wanted
    if patch is None:
        candidates = range(1, max(1, min(_LARGEST_PATCH, min(image_size) // _FEWEST_PATCHES_ACROSS)) + 1)
        patch = max(size for size in candidates if height % size == 0 and width % size == 0)
    if patch < 1 or height % patch or width % patch:
        multiples = f"{_multiple(height, patch)}x{_multiple(width, patch)}" if patch > 0 else "none"
        raise ValueError(
            f"model=vit_tiny needs image sides that model.patch_size={patch} divides, got {height}x{width} "
            f"({multiples} would fit); set model.patch_size=null"
        )
    patches = (height // patch) * (width // patch)
    if patches > _MOST_PATCHES:
        fitting = f"{_multiple(height, _LARGEST_PATCH)}x{_multiple(width, _LARGEST_PATCH)}"
        raise ValueError(
            f"model=vit_tiny takes at most {_MOST_PATCHES} patches, but images of {height}x{width} "
            f"give {patches} of {patch}x{patch}; set a larger model.patch_size, or images of a size like {fitting}"
        )
    return patch


def _multiple(side: int, patch: int) -> int:
    return max(1, round(side / patch)) * patch
