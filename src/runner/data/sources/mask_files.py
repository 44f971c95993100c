"""Image files with mask files as examples, decoded when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from runner.data.source import IGNORED, Arrays
from runner.data.sources.image_files import read_image

MODES = ("1", "L", "P")  # of masks: one number a pixel, at most 255


class MaskFiles:
    """(image uint8 (C, H, W), mask uint8 (H, W)) of each pair of files.

    Images are resized bilinearly with antialiasing, masks to the nearest pixel. The ``ignored_value`` of mask files is
    ``IGNORED`` here.
    """

    def __init__(
        self,
        pairs: Sequence[tuple[Path, Path]],
        *,
        size: tuple[int, int],
        channels: int,
        ignored_value: int | None,
    ) -> None:
        # Forked workers share an array; a list of objects would be copied as its reference counts change.
        self.images = np.array([str(image) for image, _ in pairs], dtype=np.str_)
        self.masks = np.array([str(mask) for _, mask in pairs], dtype=np.str_)
        self.size = size
        self.channels = channels
        self.ignored_value = ignored_value

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        mask = torch.from_numpy(read_mask(str(self.masks[index]), self.size))
        if self.ignored_value is not None:
            mask.masked_fill_(mask == self.ignored_value, IGNORED)
        return read_image(str(self.images[index]), self.size, self.channels), mask

    @property
    def nbytes(self) -> int:
        height, width = self.size
        return len(self) * (self.channels + 1) * height * width

    def arrays(self) -> Arrays:
        """All of them at once, read by threads: PIL decodes without holding Python's lock."""
        images = torch.empty(len(self), self.channels, *self.size, dtype=torch.uint8)
        masks = torch.empty(len(self), *self.size, dtype=torch.uint8)

        def read(index: int) -> None:
            images[index], masks[index] = self[index]

        with ThreadPoolExecutor() as pool:
            for _ in pool.map(read, range(len(self))):
                pass
        return Arrays(images, masks)


def read_mask(path: str, size: tuple[int, int] | None = None) -> npt.NDArray[np.uint8]:
    """The number of each pixel's class, uint8 (height, width); of an image with a palette the place in it.

    Raises ``ValueError`` for a file whose pixels are not one number up to 255 each.
    """
    with Image.open(path) as opened:
        if opened.mode not in MODES:
            raise ValueError(f"pixels are {opened.mode}, but the number of a class has 8 bits: L or P")
        mask: Image.Image = opened
        if size is not None and mask.size != size[::-1]:
            mask = mask.resize(size[::-1], Image.Resampling.NEAREST)
        return np.array(mask, dtype=np.uint8)


def fault(image: Path, mask: Path, *, num_classes: int, ignored_value: int | None) -> str:
    """What is wrong with a mask, beside its image; empty when nothing is."""
    try:
        numbers = read_mask(str(mask))
        with Image.open(image) as opened:
            width, height = opened.size
    except Exception as error:  # PIL raises OSError, SyntaxError, struct.error and more
        return f"{type(error).__name__}: {error}"
    if numbers.shape != (height, width):
        rows, columns = numbers.shape
        return f"it has {rows}x{columns} pixels, but its image {height}x{width}"
    strange = [one for one in np.unique(numbers).tolist() if one >= num_classes and one != ignored_value]
    if strange:
        return f"it has the values {', '.join(map(str, strange))}, but classes are 0 to {num_classes - 1}"
    return ""
