from __future__ import annotations

import pytest
import torch
from torch import nn

from runner.models import DCGAN

SIZES = [(4, 4), (8, 8), (28, 28), (32, 32), (29, 47), (33, 33), (64, 64), (96, 128), (5, 60)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("in_channels", [1, 3])
def test_both_networks_fit_the_images(in_channels: int, size: tuple[int, int]) -> None:
    with torch.device("meta"):
        model = DCGAN(in_channels=in_channels, image_size=size, latent_dim=7, width=4)
        images = model.generator(torch.empty(2, model.latent_dim))
        assert images.shape == (2, in_channels, *size)
        assert model.discriminator(images).shape == (2,)
        assert model(torch.empty(3, 7)).shape == (3, in_channels, *size)


def test_generated_values_lie_in_the_range_of_tanh() -> None:
    torch.manual_seed(0)
    images = DCGAN(in_channels=1, image_size=(28, 28), latent_dim=7, width=4).generator(100 * torch.randn(4, 7))
    assert images.abs().max() <= 1
    assert images.std() > 0


def test_weights_start_as_in_the_paper() -> None:
    torch.manual_seed(0)
    model = DCGAN(in_channels=3, image_size=(32, 32), width=16)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.weight.numel() > 5000:
            assert module.weight.mean().abs() < 0.002
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.1)
        if isinstance(module, nn.BatchNorm2d):
            assert module.weight.mean().item() == pytest.approx(1, abs=0.02)


def test_the_gradient_of_each_side_reaches_every_parameter() -> None:
    torch.manual_seed(0)
    model = DCGAN(in_channels=1, image_size=(16, 16), latent_dim=4, width=4)
    model.discriminator(model.generator(torch.randn(4, 4))).sigmoid().sum().backward()
    for path, parameter in model.named_parameters():
        assert parameter.grad is not None, path
        assert parameter.grad.abs().sum() > 0, path


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_size": (3, 8)}, "at least 4x4 pixels, got 3x8"),
        ({"latent_dim": 0}, "model.latent_dim must be at least 1, got 0"),
        ({"width": 0}, "model.width must be at least 1, got 0"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, int | tuple[int, int]], message: str) -> None:
    arguments = {"in_channels": 1, "image_size": (8, 8), **settings}
    with pytest.raises(ValueError, match=message):
        DCGAN(**arguments)  # type: ignore[arg-type]
