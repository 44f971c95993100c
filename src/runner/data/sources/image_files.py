"""Image files as examples, decoded when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from runner.data.source import Arrays


class ImageFiles:
    """(image uint8 (C, H, W), label int64 ()) of each file, resized bilinearly with antialiasing."""

    def __init__(self, files: Sequence[tuple[Path, int]], *, size: tuple[int, int], channels: int) -> None:
        # Forked workers share an array; a list of objects would be copied as its reference counts change.
        self.paths = np.array([str(path) for path, _ in files], dtype=np.str_)
        self.labels = torch.tensor([label for _, label in files], dtype=torch.int64)
        self.size = size
        self.channels = channels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        return read_image(str(self.paths[index]), self.size, self.channels), self.labels[index]

    @property
    def nbytes(self) -> int:
        height, width = self.size
        return len(self) * self.channels * height * width

    def arrays(self) -> Arrays:
        """All images at once, read by threads: PIL decodes without holding Python's lock."""
        images = torch.empty(len(self), self.channels, *self.size, dtype=torch.uint8)

        def read(index: int) -> None:
            images[index] = self[index][0]

        with ThreadPoolExecutor() as pool:
            for _ in pool.map(read, range(len(self))):
                pass
        return Arrays(images, self.labels)


def read_image(path: str, size: tuple[int, int], channels: int) -> Tensor:
    """uint8 (channels, height, width); ``channels`` is 1 (grey) or 3 (RGB), ``size`` is (height, width)."""
    with Image.open(path) as opened:
        if opened.mode.startswith(("I", "F")):  # PIL would clip them to white
            raise ValueError(f"{path} has more than 8 bits a channel ({opened.mode}); convert it to 8 bits")
        image: Image.Image = opened
        if opened.mode == "P" and "transparency" in opened.info:
            image = opened.convert("RGBA")  # PIL warns when a palette with transparency becomes RGB at once
        image = image.convert("L" if channels == 1 else "RGB")
        if image.size != size[::-1]:
            image = image.resize(size[::-1], Image.Resampling.BILINEAR)
        pixels = np.array(image).reshape(*size, channels)
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()
