"""Small finished runs for the verbs that come after training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cli.terminal import close_logs
from hydra.core.global_hydra import GlobalHydra

from runner.cli.main import main

DATA = [f"dataset.{key}" for key in ("train_size=24", "valid_size=8", "test_size=12", "height=8", "width=8")]
CLASSIFIER = [
    "dataset=synthetic",
    *DATA,
    "dataset.channels=1",
    "dataset.num_classes=3",
    "model=mlp",
    "model.hidden=[4]",
    "logger=[csv]",
    "trainer.steps=4",
    "trainer.evaluate_every_steps=2",
    "trainer.batch_size=8",
    "trainer.workers=0",
]
SEGMENTATION = [
    "task=segmentation",
    "dataset=shapes_masks",
    "dataset.image_size=16",
    *[f"dataset.{key}" for key in ("train_size=8", "valid_size=4", "test_size=4")],
    "model=unet",
    "model.channels=4",
    "model.levels=2",
    "metrics=[iou]",
    "trainer.best={iou: max}",
]


def train(folder: Path, settings: Sequence[str]) -> Path:
    """A finished run in ``folder``."""
    GlobalHydra.instance().clear()
    assert main([*settings, f"hydra.run.dir='{folder}'"]) == 0
    close_logs()
    return folder
