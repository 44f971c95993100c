"""Every file of conf/model: it builds what it says, and states every setting that its target has."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hydra.utils import get_object, instantiate

FOLDER = Path(__file__).parents[2] / "conf" / "model"
FACTS = {"in_channels": 1, "image_size": (32, 32), "num_classes": 7, "output": "classes"}
FACTS |= {"source_vocabulary_size": 9, "target_vocabulary_size": 7, "source_length": 5, "target_length": 5}
FACTS |= {"out_channels": 1}
OF_VOLUMES = {"image_size": (8, 8, 8), "output": "pixels"}
NAMES = [
    "aae",
    "airbench",
    "alexnet",
    "attention_seq2seq",
    "cae",
    "cae_small",
    "cyclegan",
    "dcgan",
    "efficientnet_b0",
    "fasterrcnn_mobilenet",
    "lenet",
    "mlp",
    "mobilenet_v3_small",
    "pca",
    "pidnet",
    "pix2pix",
    "residual_unet3d",
    "resnet18",
    "resnet18_small",
    "resnet50",
    "retinanet",
    "shufflenet_v2",
    "timm",
    "torchvision",
    "transformer_seq2seq",
    "unet",
    "unet3d",
    "vae",
    "vgg11",
    "vgg16",
    "vit_tiny",
    "wide_resnet",
]


def _settings(name: str) -> dict[str, Any]:
    settings = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    assert isinstance(settings, dict)
    return settings


def test_the_options_are_those_that_are_documented() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.yaml")) == NAMES


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_option_builds_and_runs_on_meta(name: str) -> None:
    if name == "timm":
        pytest.importorskip("timm")
    settings = _settings(name)
    parameters = inspect.signature(get_object(settings["_target_"])).parameters
    known = FACTS | OF_VOLUMES if name.endswith("unet3d") else FACTS
    if name == "pidnet":
        known = FACTS | {"output": "pixels"}
    facts = {key: value for key, value in known.items() if key in parameters}
    with torch.device("meta"):
        model = instantiate(settings, **facts, _convert_="all")
        images = torch.empty(2, 1, 32, 32)
        if name.endswith("seq2seq"):
            tokens = torch.ones(2, 5, dtype=torch.int64)
            assert model(tokens, tokens).shape == (2, 5, 7)
        elif name.endswith("unet3d"):
            assert model(torch.empty(2, 1, 8, 8, 8)).shape == (2, 7, 8, 8, 8)
        elif name in ("fasterrcnn_mobilenet", "retinanet"):  # of what follows, shapes depend on content
            assert model.network.backbone(images)["0"].shape == (2, 256, 8, 8)
        elif name == "pidnet":
            assert model(images).shape == (2, 7, 32, 32)
        elif name == "dcgan":
            assert model.discriminator(model.generator(torch.empty(2, model.latent_dim))).shape == (2,)
        elif name == "cyclegan":
            assert [draw(images).shape for draw in model.generators.values()] == [images.shape] * 2
        elif name in ("aae", "cae", "cae_small", "pca", "pix2pix"):
            assert model(images).shape == images.shape
        elif name == "vae":
            assert [tuple(part.shape) for part in model(images)] == [(2, 1, 32, 32), (2, 20), (2, 20)]
        else:
            assert model(images).shape == (2, 7)


@pytest.mark.parametrize("name", NAMES)
def test_an_option_states_every_setting_of_its_target(name: str) -> None:
    settings = _settings(name)
    parameters = set(inspect.signature(get_object(settings["_target_"])).parameters)
    assert set(settings) - {"_target_"} == parameters - set(FACTS)


@pytest.mark.parametrize("name", NAMES)
def test_an_option_opens_with_its_command(name: str) -> None:
    first = (FOLDER / f"{name}.yaml").read_text().splitlines()[0]
    assert first.startswith("# python -m runner ")
    assert f"model={name} " in first
