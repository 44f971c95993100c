from __future__ import annotations

import sys

import pytest
import torch

from runner.models.from_timm import classifier

pytestmark = pytest.mark.slow  # they build the libraries' largest models


def test_a_missing_timm_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ValueError, match="model=timm needs the package timm; install runner\\[timm\\]"):
        classifier(name="resnet18", in_channels=1, image_size=(32, 32), num_classes=10)


@pytest.mark.parametrize(("name", "side"), [("resnet10t", 28), ("vit_tiny_patch16_224", 32)])
def test_models_adapt_to_the_data_on_meta(name: str, side: int) -> None:
    pytest.importorskip("timm")
    with torch.device("meta"):
        model = classifier(name=name, in_channels=1, image_size=(side, side), num_classes=7)
        assert model(torch.empty(2, 1, side, side)).shape == (2, 7)


def test_it_computes_on_the_cpu_and_options_reach_the_builder() -> None:
    pytest.importorskip("timm")
    torch.manual_seed(0)
    model = classifier(name="resnet10t", in_channels=1, image_size=(32, 32), num_classes=3, options={"drop_rate": 0.5})
    images = torch.randn(2, 1, 32, 32)
    assert not torch.equal(model(images), model(images))


@pytest.mark.parametrize(
    ("name", "side", "options", "message"),
    [
        ("resnet81", 32, {}, "timm has no model of model.name=resnet81; did you mean resnet18"),
        ("resnet10t", 32, {"droput": 1}, "model.options={'droput': 1} does not suit model.name=resnet10t"),
        ("convnext_atto", 28, {}, "convnext_atto cannot take images of 28x28 .*; set dataset.image_size=224"),
    ],
)
def test_what_does_not_fit_is_refused(name: str, side: int, options: dict[str, float], message: str) -> None:
    pytest.importorskip("timm")
    with pytest.raises(ValueError, match=message):
        classifier(name=name, in_channels=1, image_size=(side, side), num_classes=7, options=options)
