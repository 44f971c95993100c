"""torchmetrics' metrics with this project's defaults: made for logits, and without its checks of values.

Those checks look at every label on the host. torchmetrics is imported when a metric of its own is made: it costs
seconds. What is a plain mean over samples does without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

import torch

from runner.metrics.sample_mean import SampleMean, hits, squared_errors

if TYPE_CHECKING:
    from torchmetrics import Metric

_AVERAGES = ("micro", "macro", "weighted")
_NORMALIZE: dict[str, Literal["true", "pred", "all"]] = {
    "labels": "true",
    "predictions": "pred",
    "all": "all",
}


def accuracy(*, num_classes: int, average: str = "micro", ignore_index: int | None = None) -> Metric | SampleMean:
    """The fraction of samples whose highest logit is the label's; "macro": the mean over classes."""
    if average == "micro" and num_classes >= 2:
        return SampleMean(hits(ignore_index))
    return _classwise("MulticlassAccuracy", num_classes, average, ignore_index)


def top5(*, num_classes: int, average: str = "micro", ignore_index: int | None = None) -> Metric | SampleMean:
    """The fraction of samples whose label is among the five highest logits. ``ValueError`` below five
    classes.
    """
    if num_classes < 5:
        raise ValueError(f"metrics=top5 needs at least 5 classes, got {num_classes}; leave it out of metrics")
    if average == "micro":
        return SampleMean(hits(ignore_index, top=5))
    return _classwise("MulticlassAccuracy", num_classes, average, ignore_index, top_k=5)


def precision(*, num_classes: int, average: str = "macro", ignore_index: int | None = None) -> Metric:
    """Of the samples given a class, the fraction that have it; 0 for a class that none was given."""
    return _classwise("MulticlassPrecision", num_classes, average, ignore_index)


def recall(*, num_classes: int, average: str = "macro", ignore_index: int | None = None) -> Metric:
    """Of the samples that have a class, the fraction given it; 0 for a class that none has."""
    return _classwise("MulticlassRecall", num_classes, average, ignore_index)


def f1(*, num_classes: int, average: str = "macro", ignore_index: int | None = None) -> Metric:
    """The harmonic mean of precision and recall."""
    return _classwise("MulticlassF1Score", num_classes, average, ignore_index)


def confusion_matrix(*, num_classes: int, normalize: str | None = None, ignore_index: int | None = None) -> Metric:
    """Counts (K, K): row, the label; column, the prediction.

    ``normalize`` makes them fractions of the "labels", the "predictions" or "all".
    """
    if normalize is not None and normalize not in _NORMALIZE:
        raise ValueError(f"confusion_matrix.normalize must be {', '.join(_NORMALIZE)} or null, got {normalize}")
    from torchmetrics.classification import MulticlassConfusionMatrix

    return MulticlassConfusionMatrix(
        num_classes, ignore_index, None if normalize is None else _NORMALIZE[normalize], validate_args=False
    )


def mse(*, squared: bool = True) -> SampleMean:
    """The mean squared error over all values, or its root; summed in float64."""
    return SampleMean(squared_errors, finish=None if squared else torch.sqrt)


def roc_auc() -> Metric:
    """The area under the ROC curve of scores that rank novel samples above normal ones; 0.5 is guessing."""
    from runner.metrics.ranking import Ranking, area_under_roc

    return Ranking(area_under_roc)


def average_precision() -> Metric:
    """The mean of the precision at each novel sample's rank; guessing gives the fraction of novel samples."""
    from runner.metrics import ranking

    return ranking.Ranking(ranking.average_precision)


def precision_at_k(*, k: int | None = None) -> Metric:
    """Of the ``k`` samples with the highest scores, the fraction that are novel; None: as many as there are novel ones.

    Raises ``ValueError`` for a ``k`` below 1.
    """
    if k is not None and k < 1:
        raise ValueError(f"precision_at_k.k must be at least 1, got {k}; null takes as many as there are novel samples")
    from runner.metrics.ranking import Ranking, precision_at

    return Ranking(precision_at(k))


def mean_average_precision(*, class_metrics: bool = False, class_names: Sequence[str] = ()) -> Metric:
    """Of found boxes: COCO's average precision, see ``BoxPrecision``; with ``class_metrics`` also of each class.

    Raises ``ValueError`` where pycocotools is not installed.
    """
    if find_spec("pycocotools") is None:
        raise ValueError("metrics=map needs the package pycocotools; install runner[detection]")
    from runner.metrics.detection import BoxPrecision

    return BoxPrecision(class_names=class_names if class_metrics else ())


def _classwise(kind: str, num_classes: int, average: str, ignore_index: int | None, **others: Any) -> Metric:
    if average not in _AVERAGES:
        raise ValueError(f"average must be one of {', '.join(_AVERAGES)}, got {average}")
    if num_classes < 2:
        raise ValueError(f"classification metrics need at least 2 classes, got {num_classes}; set metrics=[]")
    from torchmetrics import classification

    made: Metric = getattr(classification, kind)(
        num_classes=num_classes, average=average, ignore_index=ignore_index, validate_args=False, **others
    )
    return made
