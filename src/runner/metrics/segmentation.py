"""How well predicted regions are those of the masks: logits (B, K, *S) and labels (B, *S), over all pixels of a part.

For each class there are counts of pixels that are in both regions, in the predicted one alone, and in the true one
alone. What is measured are quotients of these: the mean over the classes that occur, and the value of each class under
its name, or number. A class occurs if it is predicted or true somewhere; the value of one that does not is NaN.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from runner.metrics.sample_mean import SampleMean


def iou(
    *,
    num_classes: int,
    background: bool = True,
    per_class: bool = True,
    class_names: Sequence[str] = (),
    ignore_index: int | None = None,
) -> SampleMean:
    """Intersection over union, the Jaccard index. Without ``background`` the mean is over classes from 1 on."""
    names = _names(num_classes, class_names, per_class)
    return _overlap(num_classes, names, background, ignore_index, too_much=1, missed=1)


def dice(
    *,
    num_classes: int,
    background: bool = True,
    per_class: bool = True,
    class_names: Sequence[str] = (),
    ignore_index: int | None = None,
) -> SampleMean:
    """The Dice coefficient, which is F1: twice the intersection over the sum of the sizes."""
    names = _names(num_classes, class_names, per_class)
    return _overlap(num_classes, names, background, ignore_index, too_much=0.5, missed=0.5)


def pixel_precision(
    *,
    num_classes: int,
    background: bool = True,
    per_class: bool = True,
    class_names: Sequence[str] = (),
    ignore_index: int | None = None,
) -> SampleMean:
    """Of the pixels given a class, the fraction that have it; 0 where none was given it."""
    names = _names(num_classes, class_names, per_class)
    return _overlap(num_classes, names, background, ignore_index, too_much=1, missed=0)


def pixel_recall(
    *,
    num_classes: int,
    background: bool = True,
    per_class: bool = True,
    class_names: Sequence[str] = (),
    ignore_index: int | None = None,
) -> SampleMean:
    """Of the pixels that have a class, the fraction given it; 0 where none has it."""
    names = _names(num_classes, class_names, per_class)
    return _overlap(num_classes, names, background, ignore_index, too_much=0, missed=1)


def _names(num_classes: int, class_names: Sequence[str], per_class: bool) -> list[str]:
    if not per_class:
        return []
    named = list(class_names) if len(class_names) == num_classes else [str(place) for place in range(num_classes)]
    return [name.replace(" ", "_") for name in named]


def _overlap(
    num_classes: int,
    names: Sequence[str],
    background: bool,
    ignore_index: int | None,
    *,
    too_much: float,
    missed: float,
) -> SampleMean:
    """both / (both + ``too_much`` * predicted alone + ``missed`` * true alone), the Tversky index."""

    def values(logits: Tensor, labels: Tensor) -> tuple[Tensor, None]:
        _require_pixels(logits, labels, num_classes)
        predicted, true = logits.argmax(1).flatten(1), labels.flatten(1)
        kept = torch.ones_like(true, dtype=torch.bool) if ignore_index is None else true != ignore_index
        counts = []
        for one in range(num_classes):  # one class after the other: all at once would take K times the memory
            found, there = (predicted == one) & kept, true == one
            counts += [(found & there).sum(1), (found & ~there).sum(1), (~found & there).sum(1)]
        return torch.stack(counts, 1), None

    def finish(means: Tensor) -> dict[str, Tensor]:
        """All counts were divided by the same number, which their quotients do not see."""
        both, found_alone, true_alone = means.view(num_classes, 3).unbind(1)
        occurs = both + found_alone + true_alone > 0
        among = both + too_much * found_alone + missed * true_alone
        index = both / among.where(among > 0, 1)
        counted = occurs if background else occurs & (torch.arange(num_classes, device=means.device) > 0)
        mean = index.where(counted, 0).sum() / counted.sum().clamp(min=1)
        return {"": mean, **dict(zip(names, index.where(occurs, torch.nan).unbind(), strict=False))}

    return SampleMean(values, finish=finish, columns=3 * num_classes)


def _require_pixels(logits: Tensor, labels: Tensor, num_classes: int) -> None:
    if logits.ndim < 3 or logits.shape[1] != num_classes or labels.shape != logits.shape[:1] + logits.shape[2:]:
        raise ValueError(
            f"regions of {num_classes} classes need scores of pixels (B, {num_classes}, ...) and labels (B, ...), got "
            f"{tuple(logits.shape)} and {tuple(labels.shape)}; it is for task=segmentation"
        )
