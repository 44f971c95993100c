"""The data sets that ship with the runner. Free of torch until something is loaded."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.data.sources.digits import Digits
    from runner.data.sources.image_folder import ImageFolder
    from runner.data.sources.synthetic import Synthetic
    from runner.data.sources.torchvision import TorchvisionSource

__all__ = ["Digits", "ImageFolder", "Synthetic", "TorchvisionSource"]

_MODULES = {
    "Digits": "digits",
    "ImageFolder": "image_folder",
    "Synthetic": "synthetic",
    "TorchvisionSource": "torchvision",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
