"""Image files with boxes as examples, decoded when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from runner.data.source import Arrays, BoxSpec
from runner.data.sources.coco import Box
from runner.data.sources.image_files import read_image

Boxes = Sequence[tuple[Box, int]]


class BoxFiles:
    """(image uint8 (C, H, W), boxes float32 (max_boxes, 4), classes int64 (max_boxes,)) of each file.

    Images are resized bilinearly with antialiasing to the size of ``spec``, and their boxes with them.
    """

    def __init__(self, files: Sequence[tuple[Path, tuple[int, int], Boxes]], *, spec: BoxSpec) -> None:
        """``files``: of each its height and width in pixels, and its boxes with their classes from 1."""
        # Forked workers share an array; a list of objects would be copied as its reference counts change.
        self.paths = np.array([str(path) for path, _, _ in files], dtype=np.str_)
        self.spec = spec
        self.boxes = torch.zeros(len(files), spec.max_boxes, 4)
        self.labels = torch.zeros(len(files), spec.max_boxes, dtype=torch.int64)
        for row, (_, (height, width), boxes) in enumerate(files):
            if boxes:
                scale = torch.tensor([spec.width / width, spec.height / height] * 2)
                self.boxes[row, : len(boxes)] = torch.tensor([box for box, _ in boxes]) * scale
                self.labels[row, : len(boxes)] = torch.tensor([label for _, label in boxes])

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        image = read_image(str(self.paths[index]), self.spec.image_size, self.spec.channels)
        return image, self.boxes[index], self.labels[index]

    @property
    def nbytes(self) -> int:
        height, width = self.spec.image_size
        return len(self) * self.spec.channels * height * width + self.boxes.nbytes + self.labels.nbytes

    def arrays(self) -> Arrays:
        """All images at once, read by threads: PIL decodes without holding Python's lock."""
        images = torch.empty(len(self), self.spec.channels, *self.spec.image_size, dtype=torch.uint8)

        def read(index: int) -> None:
            images[index] = self[index][0]

        with ThreadPoolExecutor() as pool:
            for _ in pool.map(read, range(len(self))):
                pass
        return Arrays(images, self.boxes, self.labels)
