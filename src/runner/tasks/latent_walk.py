"""Ways from one latent code to the next, to look at what lies between."""

from __future__ import annotations

import torch
from torch import Tensor

INTERPOLATIONS = ("spherical", "linear")


def walk(codes: Tensor, *, count: int, interpolation: str = "spherical") -> Tensor:
    """``count`` points on each way from one of ``codes`` (N, D) to the next, and back to the first: (N * count, D).

    Each way begins at its code and ends one point before the next. Codes of a normal distribution lie near a sphere,
    which a straight line leaves, so "spherical" follows the great circle (White, "Sampling generative networks", 2016).
    """
    following = codes.roll(-1, 0)
    share = torch.arange(count, device=codes.device)[:, None] / count  # (count, 1)
    if interpolation == "linear":
        points = [a + share * (b - a) for a, b in zip(codes, following, strict=True)]
    else:
        points = [_great_circle(a, b, share) for a, b in zip(codes, following, strict=True)]
    return torch.cat(points)


def _great_circle(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    cosine = (start * end).sum() / (start.norm() * end.norm())
    angle = cosine.clamp(-1, 1).acos()
    turned = ((1 - share) * angle).sin() / angle.sin() * start + (share * angle).sin() / angle.sin() * end
    return torch.where(angle.sin() > 1e-4, turned, start + share * (end - start))  # codes on one line have no circle
