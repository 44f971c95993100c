"""Training images of which each is a mixture of two: mixup and cutmix."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from runner.losses.terms import Loss


class Mixing:
    """Mixes a batch (B, C, H, W) with itself in another order; one share for the whole batch.

    ``mixup_alpha``: values are averaged (Zhang et al., "mixup: Beyond empirical risk minimization", 2018).
    ``cutmix_alpha``: a rectangle is taken from the other image (Yun et al., "CutMix: Regularization strategy to train
    strong classifiers with localizable features", 2019). Shares are drawn from Beta(alpha, alpha); with both, a coin
    decides for each batch. Draws come from torch's default generators.
    Raises ``ValueError`` for a negative alpha.
    """

    def __init__(self, *, mixup_alpha: float = 0.0, cutmix_alpha: float = 0.0) -> None:
        for name, alpha in (("mixup_alpha", mixup_alpha), ("cutmix_alpha", cutmix_alpha)):
            if not alpha >= 0:
                raise ValueError(f"task.{name} must not be negative, got {alpha}; 0 is none")
        self.mixup_alpha = mixup_alpha
        self.cutmix_alpha = cutmix_alpha

    def __bool__(self) -> bool:
        return self.mixup_alpha > 0 or self.cutmix_alpha > 0

    def loss(
        self, model: Callable[[Tensor], Tensor], loss: Callable[..., Loss], images: Tensor, labels: Tensor
    ) -> Loss:
        """What ``loss`` says of the mixture beside either label, weighed by the shares of the two images."""
        other = torch.randperm(len(images)).to(images.device)
        mixed, share = self._mixed(images, images[other])
        logits = model(mixed)
        own, others = loss(logits, labels), loss(logits, labels[other])
        if isinstance(own, Tensor) or isinstance(others, Tensor):
            assert isinstance(own, Tensor), "one loss is of one kind"
            assert isinstance(others, Tensor), "one loss is of one kind"
            return share * own + (1 - share) * others
        return {name: share * own[name] + (1 - share) * others[name] for name in own}

    def _mixed(self, images: Tensor, others: Tensor) -> tuple[Tensor, float]:
        """The mixture, and the share of ``images`` in it."""
        both = self.mixup_alpha > 0 and self.cutmix_alpha > 0
        cuts = bool(torch.rand(()) < 0.5) if both else self.cutmix_alpha > 0
        alpha = self.cutmix_alpha if cuts else self.mixup_alpha
        share = float(torch.distributions.Beta(alpha, alpha).sample())
        if not cuts:
            return others.lerp(images, share), share
        height, width = images.shape[2:]
        inside = _rectangle(height, width, area_fraction=1 - share).to(images.device)
        return torch.where(inside, others, images), 1 - float(inside.float().mean())


def _rectangle(height: int, width: int, *, area_fraction: float) -> Tensor:
    """A rectangle (H, W) about a random pixel, in the image's proportions, cut at its border."""
    middle = torch.stack([torch.randint(height, ()), torch.randint(width, ())])
    half = torch.tensor([height, width]) * area_fraction**0.5 / 2
    low, high = (middle - half).round(), (middle + half).round()
    rows, columns = torch.arange(height), torch.arange(width)
    inside: Tensor = ((rows >= low[0]) & (rows < high[0]))[:, None] & ((columns >= low[1]) & (columns < high[1]))
    return inside
