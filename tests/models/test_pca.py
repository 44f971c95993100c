"""Principal components as weights of a network."""

from __future__ import annotations

import pytest
import torch
from sklearn import decomposition

from runner.models import PCA

GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.randn(400, 6, generator=GENERATOR) @ torch.randn(6, 32, generator=GENERATOR) + 3
IMAGES = (IMAGES + 0.1 * torch.randn(400, 32, generator=GENERATOR)).view(400, 2, 4, 4)


def fitted(images: torch.Tensor = IMAGES, *, latent_dim: int = 4, method: str = "full") -> PCA:
    model = PCA(in_channels=2, image_size=(4, 4), latent_dim=latent_dim, method=method)
    model.initialise_from_data(images)
    return model


def test_codes_and_images_are_scikit_learns() -> None:
    model, reference = fitted(), decomposition.PCA(4, svd_solver="full").fit(IMAGES.flatten(1).numpy())
    codes = torch.from_numpy(reference.transform(IMAGES.flatten(1).numpy()))
    torch.testing.assert_close(model.encode(IMAGES), codes, rtol=1e-4, atol=1e-4)
    rebuilt = torch.from_numpy(reference.inverse_transform(codes.numpy())).view_as(IMAGES)
    torch.testing.assert_close(model(IMAGES), rebuilt, rtol=1e-4, atol=1e-4)


def test_in_batches_it_is_nearly_the_same() -> None:
    whole, parts = fitted(latent_dim=6), fitted(latent_dim=6, method="incremental")
    errors = [(model(IMAGES) - IMAGES).square().mean().item() for model in (whole, parts)]
    assert errors[0] <= errors[1] < 1.01 * errors[0] < 0.02
    assert not torch.equal(whole.components, parts.components)


def test_at_its_optimum_no_gradient_improves_it() -> None:
    model = fitted()
    torch.autograd.backward((model(IMAGES) - IMAGES).square().mean())
    assert model.components.grad is not None
    assert model.mean.grad is not None
    assert max(model.components.grad.abs().max().item(), model.mean.grad.abs().max().item()) < 1e-5


@pytest.mark.parametrize("method", ["full", "incremental"])
def test_of_fewer_images_than_components_the_rest_is_zero(method: str) -> None:
    model = fitted(IMAGES[:3], latent_dim=8, method=method)
    assert model.components[3:].abs().sum() == 0
    torch.testing.assert_close(model(IMAGES[:3]), IMAGES[:3], rtol=1e-3, atol=1e-3)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"model.latent_dim must lie between 1 and 32.*got 33"):
        PCA(in_channels=2, image_size=(4, 4), latent_dim=33)
    with pytest.raises(ValueError, match=r"model.method must be full or incremental, got kernel"):
        PCA(in_channels=2, image_size=(4, 4), method="kernel")
