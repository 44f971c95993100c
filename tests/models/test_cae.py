from __future__ import annotations

import pytest
import torch

from runner.models import CAE

SIZES = [(8, 8), (28, 28), (32, 32), (29, 47), (1, 3)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("in_channels", [1, 3])
def test_images_come_back_in_their_own_shape(in_channels: int, size: tuple[int, int]) -> None:
    model = CAE(in_channels=in_channels, image_size=size, channels=[4, 8], latent_dim=5)
    images = torch.randn(2, in_channels, *size)
    codes = model.encode(images)
    assert codes.shape == (2, 5)
    assert model.decode(codes).shape == images.shape
    model.eval()
    torch.testing.assert_close(model(images), model.decode(model.encode(images)))


def test_the_output_activation_bounds_the_images() -> None:
    torch.manual_seed(0)
    codes = 1000 * torch.randn(8, 4)
    ranges = {}
    for activation in ("none", "sigmoid", "tanh"):
        model = CAE(in_channels=1, image_size=(9, 9), channels=[4], latent_dim=4, output_activation=activation)
        images = model.decode(codes)
        ranges[activation] = (images.min().item(), images.max().item())
    assert ranges["none"][0] < -1
    assert ranges["none"][1] > 1
    assert 0 <= ranges["sigmoid"][0] < 0.5 < ranges["sigmoid"][1] <= 1
    assert -1 <= ranges["tanh"][0] < -0.5
    assert 0.5 < ranges["tanh"][1] <= 1


def test_the_gradient_reaches_every_parameter() -> None:
    torch.manual_seed(0)
    model = CAE(in_channels=1, image_size=(9, 9), channels=[4, 8], latent_dim=4)
    images = torch.randn(8, 1, 9, 9)
    torch.autograd.backward(torch.nn.functional.mse_loss(model(images), images))
    for path, parameter in model.named_parameters():
        assert parameter.grad is not None, path
        assert parameter.grad.abs().sum() > 0, path


def test_it_builds_and_runs_on_meta() -> None:
    with torch.device("meta"):
        assert CAE(in_channels=3, image_size=(65, 64))(torch.empty(2, 3, 65, 64)).shape == (2, 3, 65, 64)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"model.latent_dim must be at least 1, got 0"):
        CAE(in_channels=1, image_size=(8, 8), latent_dim=0)
    with pytest.raises(ValueError, match=r"model.output_activation must be none, sigmoid or tanh, got relu"):
        CAE(in_channels=1, image_size=(8, 8), output_activation="relu")
