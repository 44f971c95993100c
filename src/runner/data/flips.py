"""Mirror images about any of their axes: for images, for volumes, and for the masks of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from runner.data.augment import Samples

AXES = {"depth": -3, "height": -2, "width": -1}  # as they are numbered from the last one


@dataclass(frozen=True, kw_only=True)
class Flips:
    """Each sample is turned over along each of ``axes`` with ``probability``, by a draw of its own.

    ``axes`` are some of depth, height and width; None: all that the images have.
    Raises ``ValueError`` for other axes and a probability outside [0, 1].
    """

    axes: Sequence[str] | None = None
    probability: float = 0.5
    per_example: ClassVar[bool] = False
    geometric: ClassVar[bool] = True
    volumes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.axes is not None and (not self.axes or len({*self.axes} & {*AXES}) != len(self.axes)):
            raise ValueError(
                f"augmentation.axes must be null or some of {', '.join(AXES)}, each once, got {self.axes}; "
                "set augmentation.axes=[height,width]"
            )
        if not 0 <= self.probability <= 1:
            raise ValueError(
                f"augmentation.probability must lie in [0, 1], got {self.probability}; set augmentation.probability=0.5"
            )

    @property
    def needs_volumes(self) -> bool:
        """Whether images of two axes lack one that is turned over."""
        return "depth" in (self.axes or ())

    def draw(self, samples: Samples) -> tuple[Tensor, ...]:
        """Whether each sample is turned over along each axis, bool (B, axes)."""
        axes = self._numbered(len(samples.image_size))
        return (torch.rand(len(samples), len(axes), generator=samples.generator()) < self.probability,)

    def __call__(self, images: Tensor, *draws: Tensor) -> Tensor:
        """images: (B, C, H, W) or (B, C, D, H, W)."""
        (turned,) = draws
        for place, axis in enumerate(self._numbered(images.ndim - 2)):
            chosen = turned[:, place].view(-1, *[1] * (images.ndim - 1))
            images = torch.where(chosen, images.flip(axis), images)
        return images

    def _numbered(self, image_dims: int) -> list[int]:
        return [AXES[axis] for axis in self.axes] if self.axes is not None else [*range(-image_dims, 0)]
