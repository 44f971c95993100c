"""What a data set is to the rest of the runner. Free of torch at import: preflight reads specs without it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from runner.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

__all__ = [
    "ORDERS",
    "AnySpec",
    "Arrays",
    "BoxSpec",
    "Examples",
    "MaskSpec",
    "PairSpec",
    "Problem",
    "SequenceSpec",
    "Source",
    "Spec",
    "Splits",
]


IGNORED = 255  # what marks pixels that do not count in masks of uint8
IGNORE_INDEX = -100  # and as tasks see them: losses leave it out unless told otherwise
ORDERS = ("mixed", "alternated", "in_sequence")
"""In which training takes the batches of several data sets."""


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
class MaskSpec:
    """An image or a volume with a class for each of its pixels: (C, *image_size), and a mask (*image_size,).

    Class 0 is the background. Masks are uint8, where ``IGNORED`` marks pixels that do not count, or int64, where
    ``ignore_index`` does; tasks see int64. With ``ignore_index`` None every pixel counts.
    Raises ``ValueError`` for an ``ignore_index`` that could be a class.
    """

    kind: ClassVar[str] = "images with masks"

    channels: int
    image_size: tuple[int, ...]  # (height, width), or (depth, height, width)
    num_classes: int
    ignore_index: int | None = None

    def __post_init__(self) -> None:
        if self.ignore_index is not None and self.ignore_index >= 0:
            raise ValueError(f"pixels that do not count must have a number below 0, got {self.ignore_index}")

    def facts(self) -> dict[str, Any]:
        """What models and losses are told, by the names of their arguments."""
        return {"in_channels": self.channels, "image_size": self.image_size, "num_classes": self.num_classes}


@dataclass(frozen=True)
class BoxSpec:
    """An image with boxes: uint8 (C, H, W), float32 (max_boxes, 4) and int64 (max_boxes,).

    A box is x1, y1, x2, y2 in pixels, its class one of 1..num_classes; both are 0 where an image has no more boxes.
    """

    kind: ClassVar[str] = "images with boxes"

    channels: int
    height: int
    width: int
    num_classes: int  # without the background
    max_boxes: int

    @property
    def image_size(self) -> tuple[int, int]:
        return (self.height, self.width)

    def facts(self) -> dict[str, Any]:
        """What models and losses are told, by the names of their arguments."""
        return {"in_channels": self.channels, "image_size": self.image_size, "num_classes": self.num_classes}


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
    """A map-style set of examples.

    One example is a tuple of tensors, the image (uint8) first, if there is one; or any nesting of tuples, lists and
    dicts of tensors, all examples alike.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Any: ...


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
    sets: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # of parts made of several: samples, in order
    order: str = "mixed"  # of the training part's sets: one of ``ORDERS``

    def facts(self) -> dict[str, Any]:
        """What tasks are told, by the names of their arguments.

        ``pixel_range`` is the lowest and the highest value that a pixel can have, scaled and normalised; None where
        there are no pixels. ``ignore_index`` marks labels that do not count, None where all do.
        """
        ends = [(end - mean) / std for mean, std in zip(self.mean, self.std, strict=True) for end in (0, 1)]
        return {
            "novel_classes": self.novel_classes,
            "pixel_range": (min(ends), max(ends)) if ends else None,
            "ignore_index": self.ignore_index,
        }

    @property
    def ignore_index(self) -> int | None:
        return self.spec.ignore_index if isinstance(self.spec, MaskSpec) else None

    def measured(self) -> dict[str, Any]:
        """What metrics are told, by the names of their arguments."""
        names = {"class_names": self.class_names, "ignore_index": self.ignore_index}
        return {"num_classes": self.spec.num_classes, **names}


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
