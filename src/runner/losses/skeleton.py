"""A loss on the connectedness of thin structures."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from runner.losses.overlap import Overlap, soft_dice, sum_over_places


class ClDice(Overlap):
    """(1 - α) (1 - Dice) + α (1 - clDice), for vessels, roads and the like.

    Shit et al., "clDice: a novel topology-preserving loss function for tubular structure segmentation" (2021),
    equation 1 and section 4: of the skeletons of prediction and truth, how much lies inside the other's region, in the
    harmonic mean. ``iterations`` of erosion make a skeleton: at least half the width of the widest structure in
    pixels. The background has none and is left out.
    Raises ``ValueError`` for an ``alpha`` outside [0, 1] and for less than one iteration.
    """

    def __init__(
        self, *, alpha: float = 0.5, iterations: int = 3, smooth: float = 1.0, ignore_index: int = -100
    ) -> None:
        super().__init__(smooth=smooth, background=False, ignore_index=ignore_index)
        if not 0 <= alpha <= 1:
            raise ValueError(f"loss.alpha must lie in [0, 1], got {alpha}; set loss.alpha=0.5")
        if iterations < 1:
            raise ValueError(f"loss.iterations must be at least 1, got {iterations}; set loss.iterations=3")
        self.alpha = alpha
        self.iterations = iterations

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        p, g = self.compared(logits, labels)
        of_p, of_g = (soft_skeleton(region, iterations=self.iterations) for region in (p, g))
        precision = self._share(of_p * g, of_p)
        sensitivity = self._share(of_g * p, of_g)
        centre_lines = 2 * precision * sensitivity / (precision + sensitivity)
        regions = soft_dice(p, g, squared=False, smooth=self.smooth)
        return (1 - self.alpha) * (1 - regions.mean()) + self.alpha * (1 - centre_lines.mean())

    def _share(self, part: Tensor, whole: Tensor) -> Tensor:
        return (sum_over_places(part) + self.smooth) / (sum_over_places(whole) + self.smooth)


def soft_skeleton(regions: Tensor, *, iterations: int) -> Tensor:
    """The centre lines of regions (B, K, *S) in [0, 1] with two or three dimensions in space: algorithm 1 of the paper.

    What an opening takes away is skeleton, at each of the ``iterations`` of erosion.
    """
    skeleton = F.relu(regions - _opened(regions))
    for _ in range(iterations):
        regions = _eroded(regions)
        lost = F.relu(regions - _opened(regions))
        skeleton = skeleton + F.relu(lost - skeleton * lost)
    return skeleton


def _opened(regions: Tensor) -> Tensor:
    pool = F.max_pool2d if regions.ndim == 4 else F.max_pool3d
    return pool(_eroded(regions), 3, stride=1, padding=1)


def _eroded(regions: Tensor) -> Tensor:
    """The least value among a place and its neighbours along each axis, as in the authors' code."""
    dims = regions.ndim - 2
    pool = F.max_pool2d if dims == 2 else F.max_pool3d
    least = []
    for axis in range(dims):
        window = [3 if other == axis else 1 for other in range(dims)]
        least.append(-pool(-regions, window, stride=1, padding=[size // 2 for size in window]))
    return torch.stack(least).amin(0)
