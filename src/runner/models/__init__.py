"""Networks. Any of these files can be copied out and used alone; a class is imported when first asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.models.aae import AAE
    from runner.models.airbench import Airbench
    from runner.models.alexnet import AlexNet
    from runner.models.attention_seq2seq import AttentionSeq2Seq
    from runner.models.cae import CAE
    from runner.models.cyclegan import CycleGAN
    from runner.models.dcgan import DCGAN
    from runner.models.lenet import LeNet
    from runner.models.mlp import MLP
    from runner.models.pca import PCA
    from runner.models.pidnet import PIDNet
    from runner.models.pix2pix import Pix2pix
    from runner.models.resnet import ResNet, WideResNet
    from runner.models.transformer_seq2seq import TransformerSeq2Seq
    from runner.models.unet import UNet
    from runner.models.unet3d import ResidualUNet3D, UNet3D
    from runner.models.vae import VAE
    from runner.models.vgg import VGG
    from runner.models.vit import ViT

__all__ = [
    "AAE",
    "CAE",
    "DCGAN",
    "MLP",
    "PCA",
    "VAE",
    "VGG",
    "Airbench",
    "AlexNet",
    "AttentionSeq2Seq",
    "CycleGAN",
    "LeNet",
    "PIDNet",
    "Pix2pix",
    "ResNet",
    "ResidualUNet3D",
    "TransformerSeq2Seq",
    "UNet",
    "UNet3D",
    "ViT",
    "WideResNet",
]

_MODULE_OF = {
    "AAE": "aae",
    "Airbench": "airbench",
    "AlexNet": "alexnet",
    "AttentionSeq2Seq": "attention_seq2seq",
    "CAE": "cae",
    "CycleGAN": "cyclegan",
    "DCGAN": "dcgan",
    "LeNet": "lenet",
    "MLP": "mlp",
    "PCA": "pca",
    "PIDNet": "pidnet",
    "Pix2pix": "pix2pix",
    "ResNet": "resnet",
    "ResidualUNet3D": "unet3d",
    "TransformerSeq2Seq": "transformer_seq2seq",
    "UNet": "unet",
    "UNet3D": "unet3d",
    "VAE": "vae",
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
