"""Pairs of image files as examples, decoded when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from runner.data.source import Arrays
from runner.data.sources.image_files import read_image

Pairs = Sequence[tuple[Path, Path | None]]


class PairFiles:
    """(image uint8 (in_channels + out_channels, H, W),) of each pair of files, resized bilinearly with antialiasing.

    A pair without a second file is one image that holds both, side by side; with ``reversed_halves`` the target
    is on the left.
    """

    def __init__(
        self,
        pairs: Pairs,
        *,
        size: tuple[int, int],
        in_channels: int,
        out_channels: int,
        reversed_halves: bool = False,
    ) -> None:
        # Forked workers share an array; a list of objects would be copied as its reference counts change.
        self.inputs = np.array([str(given) for given, _ in pairs], dtype=np.str_)
        self.targets = np.array(["" if wanted is None else str(wanted) for _, wanted in pairs], dtype=np.str_)
        self.size = size
        self.in_channels, self.out_channels = in_channels, out_channels
        self.reversed_halves = reversed_halves

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        given, wanted = str(self.inputs[index]), str(self.targets[index])
        if wanted:
            images = [read_image(given, self.size, self.in_channels), read_image(wanted, self.size, self.out_channels)]
        else:
            images = self._halves(given)
        return (torch.cat(images),)

    def _halves(self, path: str) -> list[Tensor]:
        height, width = self.size
        channels = max(self.in_channels, self.out_channels)
        both = read_image(path, (height, 2 * width), channels)
        first, second = both[..., :width], both[..., width:]
        if self.reversed_halves:
            first, second = second, first
        return [_with(first, self.in_channels), _with(second, self.out_channels)]

    @property
    def nbytes(self) -> int:
        height, width = self.size
        return len(self) * (self.in_channels + self.out_channels) * height * width

    def arrays(self) -> Arrays:
        """All pairs at once, read by threads: PIL decodes without holding Python's lock."""
        images = torch.empty(len(self), self.in_channels + self.out_channels, *self.size, dtype=torch.uint8)

        def read(index: int) -> None:
            images[index] = self[index][0]

        with ThreadPoolExecutor() as pool:
            for _ in pool.map(read, range(len(self))):
                pass
        return Arrays(images)


_LUMA = (0.299, 0.587, 0.114)  # of ITU-R 601-2, as PIL's own conversion to grey


def _with(image: Tensor, channels: int) -> Tensor:
    """The image (C, H, W) with 1 or 3 ``channels``."""
    if len(image) == channels:
        return image
    weights = torch.tensor(_LUMA).view(3, 1, 1)
    return (image * weights).sum(0, keepdim=True).round().byte()
