"""Boxes (B, M, 4), x1, y1, x2, y2 in pixels, of classes (B, M), 0 where there is no more box."""

from __future__ import annotations

import torch
from torch import Tensor


def lines(boxes: Tensor, labels: Tensor, *, image_size: tuple[int, ...]) -> Tensor:
    """The outlines of boxes, one pixel wide: int64 (B, H, W), the box's class on them and 0 elsewhere.

    Where outlines cross, that of the earlier box is seen. Looks at the boxes on the host.
    """
    height, width = image_size
    canvas = torch.zeros(len(boxes), height, width, dtype=torch.int64)
    limits = torch.tensor([width, height, width, height]) - 1
    corners = boxes.round().long().cpu().clamp(min=0).minimum(limits)
    for classes, places, labels_of_image in zip(canvas, corners.tolist(), labels.tolist(), strict=True):
        for (left, top, right, bottom), label in reversed([*zip(places, labels_of_image, strict=True)]):
            if label:
                classes[[top, bottom], left : right + 1] = label
                classes[top : bottom + 1, [left, right]] = label
    return canvas.to(boxes.device)
