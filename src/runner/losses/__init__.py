"""Losses, and which targets they compare predictions with."""

from runner.losses.adversarial import AdversarialLoss, Hinge, LeastSquares, Vanilla, Wasserstein
from runner.losses.classes import BinaryCrossEntropy, CrossEntropy, Focal, NegativeLogLikelihood
from runner.losses.ssim import SSIM
from runner.losses.targets import targets_of, weight_of

__all__ = [
    "SSIM",
    "AdversarialLoss",
    "BinaryCrossEntropy",
    "CrossEntropy",
    "Focal",
    "Hinge",
    "LeastSquares",
    "NegativeLogLikelihood",
    "Vanilla",
    "Wasserstein",
    "targets_of",
    "weight_of",
]
