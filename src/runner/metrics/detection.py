"""What found boxes are worth beside the true ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


class BoxPrecision(Metric):
    """Average precision, the mean over classes: of COCO, "" over the thresholds 0.5, 0.55 … 0.95 of intersection over
    union, and at the thresholds "50" and "75"; with ``class_names`` also of each class, by its name.

    Lin et al., "Microsoft COCO: common objects in context" (2014), by torchmetrics' ``MeanAveragePrecision``. Found
    boxes (B, D, 6) are rows of a box, its score and its class, true ones (B, M, 5) of a box and its class, which count
    from 1; rows of class 0 are no boxes. A class without true boxes is nan, and has no part in the mean.
    """

    full_state_update = False
    found: list[Tensor]
    true: list[Tensor]

    def __init__(self, *, class_names: Sequence[str] = ()) -> None:
        super().__init__()
        self.class_names = class_names
        self.add_state("found", default=[], dist_reduce_fx="cat")
        self.add_state("true", default=[], dist_reduce_fx="cat")

    def update(self, found: Tensor, true: Tensor) -> None:
        """Raises ``ValueError`` for anything but rows of found and of true boxes."""
        if found.ndim != 3 or found.shape[2] != 6 or true.ndim != 3 or true.shape[2] != 5:
            raise ValueError(
                f"boxes are compared, got {tuple(found.shape)} and {tuple(true.shape)}; "
                "set task=detection, or leave it out of metrics"
            )
        self.found.append(found.float())
        self.true.append(true.float())

    def compute(self) -> dict[str, Tensor]:
        from torchmetrics.detection import MeanAveragePrecision

        found, true = dim_zero_cat(self.found).cpu(), dim_zero_cat(self.true).cpu()  # host sync
        measure = MeanAveragePrecision(class_metrics=bool(self.class_names), sync_on_compute=False)
        measure.warn_on_many_detections = False
        measure.update([_columns(rows) for rows in found], [_columns(rows) for rows in true])
        measured = measure.compute()
        kept = {"": measured["map"], "50": measured["map_50"], "75": measured["map_75"]}
        if self.class_names:
            kept |= dict.fromkeys(self.class_names, torch.tensor(torch.nan))
            classes, values = measured["classes"].reshape(-1), measured["map_per_class"].reshape(-1)
            kept |= {self.class_names[int(c) - 1]: value for c, value in zip(classes, values, strict=True) if c > 0}
        return {name: value.clamp(min=0).to(self.device) for name, value in kept.items()}  # -1: nothing to find


def _columns(rows: Tensor) -> dict[str, Tensor]:
    """Boxes with their classes, and their scores if they have any, as torchmetrics wants them."""
    rows = rows[rows[:, -1] > 0]
    columns = {"boxes": rows[:, :4], "labels": rows[:, -1].long()}
    return columns if rows.shape[1] == 5 else {**columns, "scores": rows[:, 4]}
