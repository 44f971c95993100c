"""What a data set is to the rest of the runner. Free of torch at import: preflight reads specs without it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from runner.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

__all__ = ["Arrays", "Examples", "Problem", "Source", "Spec", "Splits"]


@dataclass(frozen=True)
class Spec:
    """The shape of one example, which models adapt to."""

    channels: int
    height: int
    width: int
    num_classes: int

    @property
    def image_size(self) -> tuple[int, int]:
        return (self.height, self.width)


class Examples(Protocol):
    """A map-style set of examples. One example is a tuple of tensors, the image (uint8) first."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[torch.Tensor, ...]: ...


class Arrays:
    """Examples that are whole tensors of one length: (images uint8 (N, C, H, W), labels int64 (N,))."""

    def __init__(self, *tensors: torch.Tensor) -> None:
        if not tensors:
            raise ValueError("Arrays needs at least one tensor")
        lengths = [len(tensor) for tensor in tensors]
        if len(set(lengths)) != 1:
            raise ValueError(f"all tensors of a data set must have the same length, got {lengths}")
        self.tensors = tensors

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: int) -> tuple[torch.Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)


@dataclass(frozen=True)
class Splits:
    """A loaded data set. The test part is never used to choose anything."""

    train: Examples
    valid: Examples
    test: Examples
    spec: Spec
    mean: Sequence[float]  # per channel, of pixels scaled to [0, 1]
    std: Sequence[float]
    class_names: tuple[str, ...] = ()
    digest: str = ""  # SHA-256 of the loaded arrays or of the listed files, for the manifest
    notes: dict[str, Any] = field(default_factory=dict)  # for the manifest: sizes of the parts, split seed …


class Source(Protocol):
    """A data set that has not been loaded: what a ``dataset/`` option instantiates."""

    @property
    def spec(self) -> Spec:
        """Cheap: read from the settings, or from a folder's listing. No torch."""
        ...

    def problems(self) -> list[Problem]:
        """Everything that would stop ``load``, found without loading: an absent folder, a broken image."""
        ...

    def load(self) -> Splits: ...
