"""What tasks with a discriminator share: which losses fit it, and what it loses."""

from __future__ import annotations

from torch import Tensor, nn

from runner.losses import targets_of
from runner.losses.adversarial import AdversarialLoss, Elementwise, Judge


def adversarial(loss: nn.Module, *, task: str, discriminator: nn.Module) -> AdversarialLoss:
    """``loss`` for a discriminator. Raises ``ValueError`` for one on classes, and for a penalty beside batch norm."""
    if targets_of(loss) == "classes":
        raise ValueError(f"task={task} needs a loss on real-or-fake logits, got {type(loss).__name__}; set loss=bce")
    game = loss if isinstance(loss, AdversarialLoss) else Elementwise(loss)
    mixes = any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in discriminator.modules())
    if game.penalty_weight and mixes:
        raise ValueError(
            f"loss.gradient_penalty={game.penalty_weight} holds for each sample alone, but the discriminator's batch "
            "norm mixes them; set model.discriminator_norm=layer or none"
        )
    return game


def judged(loss: AdversarialLoss, judge: Judge, *, real: Tensor, drawn: Tensor) -> Tensor:
    """What the discriminator loses in training, its penalty with it. Nothing of it reaches what drew ``drawn``."""
    drawn = drawn.detach()
    lost = loss.discriminator(judge(real).float(), judge(drawn).float())
    return lost + loss.penalty_weight * loss.penalty(judge, real, drawn) if loss.penalty_weight else lost
