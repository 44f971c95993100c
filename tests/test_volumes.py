"""Volumes through the whole runner: checks, the recipe, a large volume predicted in tiles, autoencoders."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose
from omegaconf import DictConfig

from runner.composition import compose as composition
from runner.data.sources import ShapeVolumes
from runner.preflight import Job, check
from runner.run import run
from runner.state import State

pytestmark = pytest.mark.usefixtures("shipped")

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "large_volume.py"
TINY = ("dataset.image_size=12", "dataset.train_size=8", "dataset.valid_size=4", "dataset.test_size=4")
SHORT = ("dataset=shape_volumes", *TINY, "trainer.steps=2", "trainer.batch_size=4", "augmentation=none")
SMALL = ("model=unet3d", "model.channels=4", "model.levels=2")


def composed(*overrides: str) -> DictConfig:
    return compose("config", overrides=["logger=[]", *overrides])


def problems(cfg: DictConfig, folder: Path) -> str:
    return "\n".join(check([Job("job", cfg, folder / "run")]).lines())


def trained(cfg: DictConfig, folder: Path) -> dict[str, float]:
    folder.mkdir(exist_ok=True)
    assert problems(cfg, folder) == ""
    return run(cfg, folder, name="job")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (("task=segmentation", *SHORT, "model=unet"), "but the data are volumes; set model=unet3d"),
        (("task=segmentation", *SHORT, "model=unet3d", "model.levels=4"), "multiples of 8, got 12x12x12"),
        (
            ("task=segmentation", *SHORT, *SMALL, "augmentation=crop_flip"),
            "but the data are volumes; set augmentation=flips",
        ),
        (("task=segmentation", "dataset=shapes_masks", *SMALL), "takes volumes (depth, height, width)"),
        (("task=classification", *SHORT, *SMALL), "but the data are images with masks"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_starts(
    tmp_path: Path, overrides: tuple[str, ...], line: str
) -> None:
    found = problems(composed(*overrides), tmp_path)
    assert line in found


@pytest.mark.slow
@pytest.mark.parametrize("channels_last", [False, True])
def test_kernels_and_volumes_are_stored_channels_last(tmp_path: Path, channels_last: bool) -> None:
    cfg = composed("task=segmentation", *SHORT, *SMALL, f"trainer.channels_last={channels_last}")
    made = composition(cfg, device=torch.device("cpu"), state=State())
    kernel = made.session.task.get_parameter("model.decoders.0.0.1.weight")
    volumes, _ = made.data.first("train")
    for tensor in (kernel, volumes):
        assert tensor.ndim == 5
        assert tensor.is_contiguous(memory_format=torch.channels_last_3d) == (channels_last or tensor.shape[1] == 1)
    if channels_last:
        assert trained(cfg, tmp_path)


@pytest.mark.slow
def test_volumes_are_denoised_whatever_their_masks_are(tmp_path: Path) -> None:
    model = ("model=residual_unet3d", "model.channels=4", "model.levels=2", "optimizer.lr=1e-2", "trainer.steps=50")
    noise = ("task=reconstruction", "task.noise_std=0.5", "dataset.noise_std=4")
    scores = trained(composed(*SHORT, *noise, *model, "logger=[images]", "trainer.evaluate_every_steps=50"), tmp_path)
    assert scores["test/mse"] < 0.2  # 1 is the variance of what is normalised, 0.25 that of the noise on it
    assert {file.name.split("_")[0] for file in (tmp_path / "images").iterdir()} >= {"input", "corrupted"}


@pytest.mark.slow
def test_the_recipe_learns_shapes_and_predicts_a_large_volume_in_tiles(tmp_path: Path) -> None:
    """A part of the recipe; an IoU of a third is what background everywhere gets."""
    h5py = pytest.importorskip("h5py")
    data = ("dataset.image_size=16", "dataset.train_size=80", "dataset.valid_size=4", "dataset.test_size=8")
    shorter = (*data, "trainer.epochs=6", "trainer.evaluate_every_epochs=6", "optimizer.lr=1e-2")
    folder = tmp_path / "run"
    assert trained(composed("experiment=volumes_unet3d", *shorter), folder)["test/iou"] > 0.8
    large = ShapeVolumes(image_size=[36, 40, 48], train_size=1, valid_size=1, test_size=1, seed=1).load().test
    volume, mask = large[0]
    with h5py.File(tmp_path / "volume.h5", "w") as file:
        file["raw"] = volume[0].numpy()
    target = tmp_path / "prediction.h5"
    subprocess.run([sys.executable, str(EXAMPLE), str(folder), str(tmp_path / "volume.h5"), str(target)], check=True)
    with h5py.File(target) as file:
        probabilities = file["probabilities"][:]
    np.testing.assert_allclose(probabilities.sum(0), 1, rtol=1e-5)
    predicted, truth = probabilities.argmax(0) > 0, mask.numpy() > 0
    assert (predicted & truth).sum() / (predicted | truth).sum() > 0.7
