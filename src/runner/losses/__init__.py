"""Losses, and which targets they compare predictions with."""

from runner.losses.classes import BinaryCrossEntropy, CrossEntropy, Focal, NegativeLogLikelihood
from runner.losses.targets import targets_of, weight_of

__all__ = ["BinaryCrossEntropy", "CrossEntropy", "Focal", "NegativeLogLikelihood", "targets_of", "weight_of"]
