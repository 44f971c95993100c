"""Losses, and which targets they compare predictions with."""

from runner.losses.adversarial import AdversarialLoss, Hinge, LeastSquares, Vanilla, Wasserstein
from runner.losses.classes import BinaryCrossEntropy, CrossEntropy, Focal, NegativeLogLikelihood
from runner.losses.detector import DetectorLoss
from runner.losses.overlap import Dice, GeneralisedDice, Tversky
from runner.losses.skeleton import ClDice
from runner.losses.ssim import SSIM
from runner.losses.targets import targets_of, weight_of
from runner.losses.weighted import WeightedSum

__all__ = [
    "SSIM",
    "AdversarialLoss",
    "BinaryCrossEntropy",
    "ClDice",
    "CrossEntropy",
    "DetectorLoss",
    "Dice",
    "Focal",
    "GeneralisedDice",
    "Hinge",
    "LeastSquares",
    "NegativeLogLikelihood",
    "Tversky",
    "Vanilla",
    "Wasserstein",
    "WeightedSum",
    "targets_of",
    "weight_of",
]
