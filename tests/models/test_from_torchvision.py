from __future__ import annotations

import pytest
import torch
from torch import nn

from runner.models.from_torchvision import classifier

pytestmark = pytest.mark.slow  # they build the libraries' largest models

Size = tuple[int, int]


def _first_convolution(model: nn.Module) -> nn.Conv2d:
    return next(module for module in model.modules() if isinstance(module, nn.Conv2d))


@pytest.mark.parametrize(
    ("name", "in_channels", "size"),
    [
        ("resnet18", 5, (28, 28)),
        ("vgg11_bn", 1, (32, 48)),
        ("googlenet", 1, (28, 28)),
        ("regnet_y_400mf", 1, (28, 28)),  # reads tensors while it is built
    ],
)
def test_models_adapt_to_the_data_on_meta(name: str, in_channels: int, size: Size) -> None:
    with torch.device("meta"):
        model = classifier(name=name, in_channels=in_channels, image_size=size, num_classes=7)
        assert model(torch.empty(2, in_channels, *size)).shape == (2, 7)
    assert all(parameter.is_meta for parameter in model.parameters())
    assert _first_convolution(model).in_channels == in_channels


def test_it_computes_and_learns_on_the_cpu() -> None:
    torch.manual_seed(0)
    model = classifier(name="shufflenet_v2_x0_5", in_channels=1, image_size=(9, 11), num_classes=3)
    logits = model(torch.randn(4, 1, 9, 11))
    torch.autograd.backward(nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 0])))
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("stem", "side", "stride", "pools"),
    [
        ("auto", 64, (1, 1), False),
        ("auto", 65, (2, 2), True),
        ("small", 65, (1, 1), False),
        ("imagenet", 64, (2, 2), True),
    ],
)
def test_the_stem_is_softened_for_small_images(stem: str, side: int, stride: Size, pools: bool) -> None:
    with torch.device("meta"):
        model = classifier(name="resnet18", in_channels=1, image_size=(side, side), num_classes=7, stem=stem)
    assert _first_convolution(model).stride == stride
    assert isinstance(model.maxpool, nn.MaxPool2d) is pools


def test_options_reach_the_builder() -> None:
    with torch.device("meta"):
        model = classifier(
            name="mobilenet_v3_small", in_channels=3, image_size=(32, 32), num_classes=7, options={"dropout": 0.75}
        )
    assert 0.75 in [module.p for module in model.modules() if isinstance(module, nn.Dropout)]


@pytest.mark.parametrize(
    ("name", "size", "stem", "options", "message"),
    [
        ("resnet81", (32, 32), "auto", {}, "no classifier of model.name=resnet81; did you mean resnet18"),
        ("@@@@", (32, 32), "auto", {}, "no classifier of model.name=@@@@; it has alexnet, "),
        ("resnet18", (32, 32), "big", {}, "model.stem must be auto, small or imagenet, got big"),
        ("resnet18", (32, 32), "auto", {"droput": 1}, "model.options={'droput': 1} does not suit model.name=resnet18"),
        ("vgg11", (28, 28), "auto", {}, "cannot take images of 28x28 .*; set dataset.image_size=32"),
        ("alexnet", (28, 28), "auto", {}, "cannot take images of 28x28 .*; set dataset.image_size=64"),
        ("vit_b_16", (224, 32), "auto", {}, "cannot take images of 224x32 .*; set dataset.image_size=32"),
        ("maxvit_t", (28, 28), "auto", {}, "cannot take images of 28x28 .*; set dataset.image_size=224"),
    ],
)
def test_what_does_not_fit_is_refused(
    name: str, size: Size, stem: str, options: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        classifier(name=name, in_channels=1, image_size=size, num_classes=7, stem=stem, options=options)
