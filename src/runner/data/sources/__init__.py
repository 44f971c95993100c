"""The data sets that ship with the runner. Free of torch until something is loaded."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.data.sources.digits import Digits
    from runner.data.sources.image_folder import ImageFolder
    from runner.data.sources.paired_images import PairedImages
    from runner.data.sources.sequences import Sequences
    from runner.data.sources.shape_pairs import ShapePairs
    from runner.data.sources.synthetic import Synthetic
    from runner.data.sources.text_pairs import TextPairs
    from runner.data.sources.torchvision import TorchvisionSource

__all__ = [
    "Digits",
    "ImageFolder",
    "PairedImages",
    "Sequences",
    "ShapePairs",
    "Synthetic",
    "TextPairs",
    "TorchvisionSource",
]

_MODULES = {
    "Digits": "digits",
    "ImageFolder": "image_folder",
    "PairedImages": "paired_images",
    "Sequences": "sequences",
    "ShapePairs": "shape_pairs",
    "Synthetic": "synthetic",
    "TextPairs": "text_pairs",
    "TorchvisionSource": "torchvision",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
