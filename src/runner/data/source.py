"""What a data set is to the rest of the runner. Free of torch at import: preflight reads specs without it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from runner.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

__all__ = ["AnySpec", "Arrays", "Examples", "PairSpec", "Problem", "SequenceSpec", "Source", "Spec", "Splits"]


@dataclass(frozen=True)
class Spec:
    """The shape of one example, which models adapt to."""

    kind: ClassVar[str] = "images"

    channels: int
    height: int
    width: int
    num_classes: int

    @property
    def image_size(self) -> tuple[int, int]:
        return (self.height, self.width)

    def facts(self) -> dict[str, Any]:
        """What models and losses are told, by the names of their arguments."""
        return {"in_channels": self.channels, "image_size": self.image_size, "num_classes": self.num_classes}


@dataclass(frozen=True)
class PairSpec:
    """Two images of one size, the channels of the target behind those of the input: uint8 (in + out, H, W).

    They are scaled to [-1, 1], the range of what draws them.
    """

    kind: ClassVar[str] = "pairs of images"
    num_classes: ClassVar[int] = 1

    in_channels: int
    out_channels: int
    height: int
    width: int

    @property
    def image_size(self) -> tuple[int, int]:
        return (self.height, self.width)

    @property
    def mean(self) -> tuple[float, ...]:
        """Per channel, of pixels in [0, 1]; so is ``std``."""
        return (0.5,) * (self.in_channels + self.out_channels)

    @property
    def std(self) -> tuple[float, ...]:
        return self.mean

    def facts(self) -> dict[str, Any]:
        """What models and losses are told, by the names of their arguments."""
        return {"in_channels": self.in_channels, "out_channels": self.out_channels, "image_size": self.image_size}


@dataclass(frozen=True)
class SequenceSpec:
    """Pairs of sequences of token ids, int64 (source_length,) and (target_length,), each ended and then padded.

    The ids below ``len(SPECIAL)`` have the meanings of ``runner.data.vocabulary``; vocabularies count them.
    """

    kind: ClassVar[str] = "sequences of tokens"

    source_vocabulary_size: int
    target_vocabulary_size: int
    source_length: int
    target_length: int

    @property
    def num_classes(self) -> int:
        """A prediction chooses one token of the target's vocabulary."""
        return self.target_vocabulary_size

    def facts(self) -> dict[str, Any]:
        """What models and losses are told, by the names of their arguments."""
        return {**asdict(self), "num_classes": self.num_classes}


class AnySpec(Protocol):
    """What the runner asks of the shape of an example, whatever the examples are."""

    @property
    def kind(self) -> str:
        """What the examples are, for messages: "images"."""
        ...

    @property
    def num_classes(self) -> int: ...

    def facts(self) -> dict[str, Any]: ...


class Examples(Protocol):
    """A map-style set of examples. One example is a tuple of tensors, the image (uint8) first, if there is one."""

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
    spec: AnySpec
    mean: Sequence[float]  # per channel, of pixels scaled to [0, 1]; empty where there are none
    std: Sequence[float]
    class_names: tuple[str, ...] = ()
    digest: str = ""  # SHA-256 of the loaded arrays or of the listed files, for the manifest
    notes: dict[str, Any] = field(default_factory=dict)  # for the manifest: sizes of the parts, split seed …
    novel_classes: tuple[int, ...] = ()  # in the test part only

    def facts(self) -> dict[str, Any]:
        """What tasks are told, by the names of their arguments.

        ``pixel_range`` is the lowest and the highest value that a pixel can have, scaled and normalised; None where
        there are no pixels.
        """
        ends = [(end - mean) / std for mean, std in zip(self.mean, self.std, strict=True) for end in (0, 1)]
        return {"novel_classes": self.novel_classes, "pixel_range": (min(ends), max(ends)) if ends else None}


class Source(Protocol):
    """A data set that has not been loaded: what a ``dataset/`` option instantiates."""

    @property
    def spec(self) -> AnySpec:
        """Cheap: read from the settings, or from a folder's listing. No torch."""
        ...

    def problems(self) -> list[Problem]:
        """Everything that would stop ``load``, found without loading: an absent folder, a broken image."""
        ...

    def load(self) -> Splits: ...
