"""What goes together in translation and GANs is told before work starts, and the recipes learn what they should."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose
from omegaconf import DictConfig

from runner.preflight import Job, check
from runner.run import run

pytestmark = pytest.mark.usefixtures("shipped")

GAN = ("task=gan", "dataset=synthetic", "model.width=4", "loss=gan_wasserstein", "model.discriminator_norm=layer")


def composed(*overrides: str) -> DictConfig:
    return compose("config", overrides=["logger=[]", *overrides])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "lines"),
    [
        (GAN, []),
        ((*GAN, "task.discriminator_steps=5"), []),
        (
            (*GAN, "task.discriminator_steps=5", "scheduler=cosine"),
            ["scheduler=cosine: would end long before the run: discriminator takes 5 steps", "set scheduler=constant"],
        ),
        ((*GAN, "scheduler=cosine"), []),
        ((*GAN, "model.discriminator_norm=batch"), ["gradient_penalty=10.0 holds for each sample alone"]),
        (("task=gan", "loss=cross_entropy", "model.width=4"), ["task=gan needs a loss on real-or-fake logits"]),
        (
            ("task=pix2pix", "dataset=digits"),
            ["Pix2pix learns from pairs of images, but the data are images"],
        ),
        (("task=pix2pix", "model.discriminator_layers=4"), ["model.discriminator_layers must lie between 1 and 3"]),
        (("task=cyclegan", "model=pix2pix", "model.width=4", "model.discriminator_layers=1"), ["set model=cyclegan"]),
        (("loss=gan_hinge", "model=mlp"), ["Hinge compares what a discriminator says of real and of drawn images"]),
    ],
)
def test_what_does_not_fit_is_said_before_anything_starts(
    tmp_path: Path, overrides: tuple[str, ...], lines: list[str]
) -> None:
    cfg = composed("dataset.valid_size=4", *overrides) if "dataset=synthetic" in overrides else composed(*overrides)
    chosen = dict(override.split("=", 1) for override in overrides)
    found = "\n".join(check([Job("job", cfg, tmp_path / "run", choices=chosen)]).lines())
    assert [line for line in lines if line not in found] == []
    assert bool(found) == bool(lines), found


def trained(cfg: DictConfig, folder: Path) -> dict[str, float]:
    folder.mkdir(exist_ok=True)
    assert check([Job("job", cfg, folder)]).lines() == []
    return run(cfg, folder, name="job")


@pytest.mark.slow
def test_pix2pix_learns_to_fill_outlines(tmp_path: Path) -> None:
    """A third of the recipe. Giving the outlines back as they are is an error of 0.072."""
    smaller = ("dataset.train_size=1000", "dataset.valid_size=20", "dataset.test_size=100", "trainer.epochs=3")
    assert trained(composed("experiment=shapes_pix2pix", *smaller), tmp_path)["test/l1"] < 0.04


@pytest.mark.slow
def test_cyclegan_learns_the_way_there_and_back_without_pairs(tmp_path: Path) -> None:
    """Before training the way there and back is grey, an error of about 0.4."""
    data = ("dataset.paired=false", "dataset.image_size=16", "dataset.train_size=1000", "augmentation=none")
    unet = ("model.generator=unet", "model.levels=2", "model.width=16")
    judge = ("model.discriminator_width=16", "model.discriminator_layers=1")
    trainer = ("optimizer.lr=2e-3", "optimizer.betas=[0.5,0.999]", "trainer.epochs=2", "trainer.batch_size=16")
    assert trained(composed("task=cyclegan", *data, *unet, *judge, *trainer), tmp_path)["test/cycle_l1"] < 0.07
