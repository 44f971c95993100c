"""Tasks: what is minimised and what is scored. Any of these files can be copied out and used alone.

A class is imported when first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.tasks.aae import AAE
    from runner.tasks.classification import Classification
    from runner.tasks.cyclegan import CycleGAN
    from runner.tasks.detection import Detection
    from runner.tasks.gan import GAN
    from runner.tasks.novelty import Novelty
    from runner.tasks.pix2pix import Pix2pix
    from runner.tasks.reconstruction import Reconstruction
    from runner.tasks.segmentation import Segmentation
    from runner.tasks.seq2seq import Seq2Seq
    from runner.tasks.task import Task
    from runner.tasks.vae import VAE

__all__ = [
    "AAE",
    "GAN",
    "VAE",
    "Classification",
    "CycleGAN",
    "Detection",
    "Novelty",
    "Pix2pix",
    "Reconstruction",
    "Segmentation",
    "Seq2Seq",
    "Task",
]

_MODULES = {
    "AAE": "aae",
    "Classification": "classification",
    "CycleGAN": "cyclegan",
    "Detection": "detection",
    "GAN": "gan",
    "Novelty": "novelty",
    "Pix2pix": "pix2pix",
    "Reconstruction": "reconstruction",
    "Segmentation": "segmentation",
    "Seq2Seq": "seq2seq",
    "Task": "task",
    "VAE": "vae",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
