"""What an evaluation measures. Each sample counts once, however it was batched."""

from runner.metrics.factories import (
    accuracy,
    average_precision,
    confusion_matrix,
    f1,
    mean_average_precision,
    mse,
    precision,
    precision_at_k,
    recall,
    roc_auc,
    top5,
)
from runner.metrics.metrics import Metrics
from runner.metrics.segmentation import dice, iou, pixel_precision, pixel_recall
from runner.metrics.tokens import bleu, exact_match, token_accuracy

__all__ = [
    "Metrics",
    "accuracy",
    "average_precision",
    "bleu",
    "confusion_matrix",
    "dice",
    "exact_match",
    "f1",
    "iou",
    "mean_average_precision",
    "mse",
    "pixel_precision",
    "pixel_recall",
    "precision",
    "precision_at_k",
    "recall",
    "roc_auc",
    "token_accuracy",
    "top5",
]
