"""Segmentation by command: what goes together is told before work starts, and the recipe learns what it should."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose
from omegaconf import DictConfig

from runner.preflight import Job, check
from runner.run import run

pytestmark = pytest.mark.usefixtures("shipped")

SMALL = ("dataset.train_size=8", "dataset.valid_size=4", "dataset.test_size=4", "trainer.batch_size=4")
TINY = ("task=segmentation", "dataset.image_size=16", *SMALL, "model.channels=4")
UNET = (*TINY, "model.levels=1")


def composed(*overrides: str) -> DictConfig:
    return compose("config", overrides=["logger=[]", *overrides])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ((*UNET, "augmentation=crop_flip", "metrics=[iou,dice,accuracy]"), ""),
        ((*UNET, "augmentation=trivial"), "leaves its mask behind"),
        (("task=segmentation", *SMALL, "model=lenet"), "but scores of pixels (2, 4, 64, 64) are needed"),
        (
            ("dataset=synthetic", *SMALL, "model=mlp", "loss=dice"),
            "with labels (B, ...), got (2, 10) and (2,); set task=",
        ),
        (("dataset=synthetic", *SMALL, "model=mlp", "metrics=[iou]"), "need scores of pixels (B, 10, ...) and labels"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_starts(
    tmp_path: Path, overrides: tuple[str, ...], said: str
) -> None:
    found = "\n".join(check([Job("job", composed(*overrides), tmp_path / "run")]).lines())
    assert said in found
    assert bool(found) == bool(said), found


def folder_of_masks(root: Path) -> Path:
    import numpy as np
    from PIL import Image

    for index in range(10):
        for kind in ("image", "mask"):
            path = root / "train" / kind / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((16, 16), index % 2, np.uint8)).save(path)
    return root


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("metrics=[iou,accuracy]", "metrics.accuracy.ignore_index=-100", "trainer.micro_batches=2"), ""),
        (("loss=cross_entropy", "trainer.micro_batches=2"), "cannot split a loss in which samples count differently"),
        (("loss=dice", "loss.ignore_index=0"), "set loss.ignore_index=-100"),
        (("metrics=[iou,accuracy]",), "set metrics.accuracy.ignore_index=-100"),
    ],
)
def test_pixels_that_do_not_count_are_left_out_everywhere_or_it_is_said(
    tmp_path: Path, overrides: tuple[str, ...], said: str
) -> None:
    data = ("dataset=mask_folder", f"dataset.root={folder_of_masks(tmp_path)}", "dataset.num_classes=2")
    small = ("dataset.image_size=16", "trainer.batch_size=4", "model.channels=4", "model.levels=1")
    cfg = composed("task=segmentation", *data, *small, *overrides)
    found = "\n".join(check([Job("job", cfg, tmp_path / "run")]).lines())
    assert said in found
    assert bool(found) == bool(said), found


def trained(cfg: DictConfig, folder: Path) -> dict[str, float]:
    folder.mkdir(exist_ok=True)
    assert check([Job("job", cfg, folder)]).lines() == []
    return run(cfg, folder, name="job")


@pytest.mark.slow
def test_unet_learns_shapes(tmp_path: Path) -> None:
    """A part of the recipe, on smaller images. Background alone is 0.25."""
    smaller = ("dataset.image_size=32", "dataset.train_size=500", "dataset.valid_size=20", "dataset.test_size=60")
    scores = trained(composed("experiment=shapes_unet", *smaller), tmp_path)
    assert scores["test/iou"] > 0.8
    assert {"test/iou_disc", "test/iou_square", "test/iou_triangle", "test/dice", "test/bce_loss"} < set(scores)


@pytest.mark.slow
def test_unet_takes_noise_away(tmp_path: Path) -> None:
    """Noise left as it is would be an error of 0.25."""
    data = ("dataset=shapes_masks", "dataset.image_size=16", "dataset.train_size=400", "dataset.noise_std=0")
    denoised = ("task=reconstruction", "task.noise_std=0.5", "model=unet", "model.channels=8", "model.levels=2")
    trainer = ("augmentation=none", "optimizer.lr=5e-3", "trainer.epochs=3", "trainer.batch_size=16")
    assert trained(composed(*data, *denoised, *trainer), tmp_path)["test/mse"] < 0.1
