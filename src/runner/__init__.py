"""Experiments in PyTorch, composed by Hydra, that repeat to the bit.

``import runner`` costs nothing: each name is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.afterwards.loaded import LoadedRun, load_run
    from runner.losses import BinaryCrossEntropy, Focal
    from runner.metrics import Metrics
    from runner.models import CAE, DCGAN, MLP, VGG, AlexNet, LeNet, ResNet, UNet, ViT, WideResNet
    from runner.observers import Console, CsvFiles, Images, TensorBoard
    from runner.randomness import Randomness
    from runner.standalone import Result, train
    from runner.tasks import GAN, Classification, Reconstruction, Task

HOMES = {
    "runner.afterwards.loaded": ("LoadedRun", "load_run"),
    "runner.losses": ("BinaryCrossEntropy", "Focal"),
    "runner.metrics": ("Metrics",),
    "runner.models": (
        "CAE",
        "DCGAN",
        "MLP",
        "VGG",
        "AlexNet",
        "LeNet",
        "ResNet",
        "UNet",
        "ViT",
        "WideResNet",
    ),
    "runner.observers": ("Console", "CsvFiles", "Images", "TensorBoard"),
    "runner.randomness": ("Randomness",),
    "runner.standalone": ("Result", "train"),
    "runner.tasks": ("GAN", "Classification", "Reconstruction", "Task"),
}
HOME_OF = {name: home for home, names in HOMES.items() for name in names}

__all__ = [
    "CAE",
    "DCGAN",
    "GAN",
    "MLP",
    "VGG",
    "AlexNet",
    "BinaryCrossEntropy",
    "Classification",
    "Console",
    "CsvFiles",
    "Focal",
    "Images",
    "LeNet",
    "LoadedRun",
    "Metrics",
    "Randomness",
    "Reconstruction",
    "ResNet",
    "Result",
    "Task",
    "TensorBoard",
    "UNet",
    "ViT",
    "WideResNet",
    "load_run",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in HOME_OF:
        raise AttributeError(f"module 'runner' has no attribute {name!r}")
    return getattr(importlib.import_module(HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
