"""Losses of adversaries: what a discriminator loses on real and on drawn images, and a generator on drawn ones."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Judge = Callable[[Tensor], Tensor]  # images (B, C, H, W) to one number a sample, or a patch of it


class AdversarialLoss(nn.Module):
    """The two sides of one game, each a mean over samples, and over patches where there are any.

    To call it as a loss of predictions and targets raises ``ValueError``: it belongs to a task with a discriminator.
    """

    penalty_weight: float = 0.0
    """How much ``penalty`` counts; 0 where there is none, and then it need not be computed."""

    def discriminator(self, on_real: Tensor, on_drawn: Tensor) -> Tensor:
        """From what the discriminator says of real images and of drawn ones."""
        raise NotImplementedError

    def generator(self, on_drawn: Tensor) -> Tensor:
        """From what the discriminator says of drawn images."""
        raise NotImplementedError

    def penalty(self, judge: Judge, real: Tensor, drawn: Tensor) -> Tensor:  # noqa: ARG002
        """What is added to the discriminator's loss in training, unweighted."""
        return real.new_zeros(())

    def reality(self, outputs: Tensor) -> Tensor:
        """What the discriminator's outputs mean to a reader: the larger, the more real."""
        return outputs

    def forward(self, predictions: Tensor, targets: Tensor) -> Tensor:  # noqa: ARG002
        raise ValueError(
            f"loss {type(self).__name__} compares what a discriminator says of real and of drawn images; "
            "set task=gan, pix2pix or cyclegan, or another loss"
        )


class Vanilla(AdversarialLoss):
    """-log D(x) - log(1 - D(G(z))), and for the generator -log D(G(z)), with D a sigmoid of the output.

    Goodfellow et al., "Generative adversarial nets" (2014), equation 1, non-saturating as in section 3.
    """

    def discriminator(self, on_real: Tensor, on_drawn: Tensor) -> Tensor:
        return F.softplus(-on_real).mean() + F.softplus(on_drawn).mean()

    def generator(self, on_drawn: Tensor) -> Tensor:
        return F.softplus(-on_drawn).mean()

    def reality(self, outputs: Tensor) -> Tensor:
        return outputs.sigmoid()


class LeastSquares(AdversarialLoss):
    """½(D(x) - 1)² + ½D(G(z))², and for the generator ½(D(G(z)) - 1)².

    Mao et al., "Least squares generative adversarial networks" (2017), equation 9.
    """

    def discriminator(self, on_real: Tensor, on_drawn: Tensor) -> Tensor:
        return ((on_real - 1) ** 2).mean() / 2 + (on_drawn**2).mean() / 2

    def generator(self, on_drawn: Tensor) -> Tensor:
        return ((on_drawn - 1) ** 2).mean() / 2


class Hinge(AdversarialLoss):
    """max(0, 1 - D(x)) + max(0, 1 + D(G(z))), and for the generator -D(G(z)).

    Lim and Ye, "Geometric GAN" (2017); Miyato et al., "Spectral normalization for GANs" (2018), equations 16 and 17.
    """

    def discriminator(self, on_real: Tensor, on_drawn: Tensor) -> Tensor:
        return F.relu(1 - on_real).mean() + F.relu(1 + on_drawn).mean()

    def generator(self, on_drawn: Tensor) -> Tensor:
        return -on_drawn.mean()


class Wasserstein(AdversarialLoss):
    """D(G(z)) - D(x), plus ``gradient_penalty`` times (‖∇D(x̂)‖ - 1)²; for the generator -D(G(z)).

    Gulrajani et al., "Improved training of Wasserstein GANs" (2017), equation 3: x̂ lies at random on the line between a
    real image and a drawn one. The penalty is for each sample alone, so the discriminator must not use batch norm. It
    is part of training only: an evaluation's loss is the negative estimate of the distance.
    Raises ``ValueError`` for a negative weight.
    """

    def __init__(self, *, gradient_penalty: float = 10.0) -> None:
        super().__init__()
        if gradient_penalty < 0:
            raise ValueError(f"loss.gradient_penalty must not be negative, got {gradient_penalty}; 0 is none")
        self.penalty_weight = gradient_penalty

    def discriminator(self, on_real: Tensor, on_drawn: Tensor) -> Tensor:
        return on_drawn.mean() - on_real.mean()

    def generator(self, on_drawn: Tensor) -> Tensor:
        return -on_drawn.mean()

    def penalty(self, judge: Judge, real: Tensor, drawn: Tensor) -> Tensor:
        share = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device)
        between = (share * real + (1 - share) * drawn).detach().requires_grad_()
        (slope,) = torch.autograd.grad(judge(between).float().sum(), between, create_graph=True)
        steepness: Tensor = torch.linalg.vector_norm(slope.float().flatten(1), dim=1)
        return ((steepness - 1) ** 2).mean()


class Elementwise(AdversarialLoss):
    """Any loss of outputs and targets as adversaries': 1 stands for real, 0 for drawn."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def discriminator(self, on_real: Tensor, on_drawn: Tensor) -> Tensor:
        both: Tensor = self.loss(on_real, torch.ones_like(on_real)) + self.loss(on_drawn, torch.zeros_like(on_drawn))
        return both

    def generator(self, on_drawn: Tensor) -> Tensor:
        loss: Tensor = self.loss(on_drawn, torch.ones_like(on_drawn))
        return loss

    def reality(self, outputs: Tensor) -> Tensor:
        return outputs.sigmoid()
