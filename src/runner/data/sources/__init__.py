"""The data sets that ship with the runner. Free of torch until something is loaded."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.data.sources.coco_boxes import CocoBoxes
    from runner.data.sources.digits import Digits
    from runner.data.sources.hdf5_volumes import HDF5Volumes
    from runner.data.sources.image_folder import ImageFolder
    from runner.data.sources.mask_folder import MaskFolder
    from runner.data.sources.paired_images import PairedImages
    from runner.data.sources.sequences import Sequences
    from runner.data.sources.several import Several
    from runner.data.sources.shape_pairs import ShapePairs
    from runner.data.sources.shape_volumes import ShapeVolumes
    from runner.data.sources.shapes_boxes import ShapesBoxes
    from runner.data.sources.shapes_masks import ShapesMasks
    from runner.data.sources.synthetic import Synthetic
    from runner.data.sources.text_pairs import TextPairs
    from runner.data.sources.torchvision import TorchvisionSource

__all__ = [
    "CocoBoxes",
    "Digits",
    "HDF5Volumes",
    "ImageFolder",
    "MaskFolder",
    "PairedImages",
    "Sequences",
    "Several",
    "ShapePairs",
    "ShapeVolumes",
    "ShapesBoxes",
    "ShapesMasks",
    "Synthetic",
    "TextPairs",
    "TorchvisionSource",
]

_MODULES = {
    "ShapesMasks": "shapes_masks",
    "MaskFolder": "mask_folder",
    "CocoBoxes": "coco_boxes",
    "Digits": "digits",
    "HDF5Volumes": "hdf5_volumes",
    "ImageFolder": "image_folder",
    "PairedImages": "paired_images",
    "Sequences": "sequences",
    "Several": "several",
    "ShapePairs": "shape_pairs",
    "ShapeVolumes": "shape_volumes",
    "ShapesBoxes": "shapes_boxes",
    "Synthetic": "synthetic",
    "TextPairs": "text_pairs",
    "TorchvisionSource": "torchvision",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
