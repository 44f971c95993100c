"""Networks. Any of these files can be copied out and used alone; a class is imported when first asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.models.alexnet import AlexNet
    from runner.models.cae import CAE
    from runner.models.dcgan import DCGAN
    from runner.models.lenet import LeNet
    from runner.models.mlp import MLP
    from runner.models.resnet import ResNet, WideResNet
    from runner.models.unet import UNet
    from runner.models.vgg import VGG
    from runner.models.vit import ViT

__all__ = ["CAE", "DCGAN", "MLP", "VGG", "AlexNet", "LeNet", "ResNet", "UNet", "ViT", "WideResNet"]

_MODULE_OF = {
    "AlexNet": "alexnet",
    "CAE": "cae",
    "DCGAN": "dcgan",
    "LeNet": "lenet",
    "MLP": "mlp",
    "ResNet": "resnet",
    "UNet": "unet",
    "VGG": "vgg",
    "ViT": "vit",
    "WideResNet": "resnet",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
