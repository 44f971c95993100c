"""The networks of variational and adversarial autoencoders."""

from __future__ import annotations

import pytest
import torch

from runner.models import AAE, VAE

SIZES = [(8, 8), (29, 47), (1, 3)]


@pytest.mark.parametrize("size", SIZES)
def test_a_vae_gives_images_and_what_their_codes_were_drawn_from(size: tuple[int, int]) -> None:
    model = VAE(in_channels=3, image_size=size, channels=[4, 8], latent_dim=5)
    images = torch.randn(2, 3, *size)
    outputs, mean, log_variance = model(images)
    assert outputs.shape == images.shape
    assert mean.shape == log_variance.shape == (2, 5)
    assert not torch.equal(model(images)[0], outputs)  # another draw


def test_the_draw_has_the_mean_and_the_variance_that_are_given() -> None:
    model = VAE(in_channels=1, image_size=(8, 8), channels=[4], latent_dim=2)
    drawn: list[torch.Tensor] = []
    model.decoder.register_forward_pre_hook(lambda _, inputs: drawn.append(inputs[0]))
    _, mean, log_variance = model(torch.randn(1, 1, 8, 8).expand(4000, -1, -1, -1))
    torch.testing.assert_close(drawn[0].mean(0), mean[0], atol=0.1, rtol=0.1)
    torch.testing.assert_close(drawn[0].var(0), log_variance[0].exp(), atol=0.05, rtol=0.1)


@pytest.mark.parametrize(("categorical", "logits"), [(False, 1), (True, 2)])
def test_an_aae_judges_each_part_of_a_code(categorical: bool, logits: int) -> None:
    model = AAE(in_channels=1, image_size=(9, 7), num_classes=3, channels=[4], latent_dim=2, categorical=categorical)
    images = torch.randn(5, 1, 9, 7)
    codes = model.autoencoder.encode(images)
    assert codes.shape == (5, 2 + (3 if categorical else 0))
    assert model.discriminator(codes).shape == (5, logits)
    assert model(images).shape == images.shape


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"model.latent_dim must be at least 1, got 0"):
        VAE(in_channels=1, image_size=(8, 8), latent_dim=0)
    with pytest.raises(ValueError, match=r"model.hidden needs positive widths, got \[\]"):
        AAE(in_channels=1, image_size=(8, 8), num_classes=3, hidden=[])
