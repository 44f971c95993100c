"""What an evaluation measures. Each sample counts once, however it was batched."""

from runner.metrics.factories import accuracy, confusion_matrix, f1, mse, precision, recall, top5
from runner.metrics.metrics import Metrics

__all__ = ["Metrics", "accuracy", "confusion_matrix", "f1", "mse", "precision", "recall", "top5"]
