"""SSIM against torchmetrics', and as something that can be minimised."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torchmetrics.functional.image import structural_similarity_index_measure

from runner.losses import SSIM

GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.rand(3, 2, 20, 17, generator=GENERATOR)
OTHERS = (IMAGES + 0.2 * torch.randn(IMAGES.shape, generator=GENERATOR)).clamp(0, 1)


@pytest.mark.parametrize("data_range", [1.0, 2.5])
def test_it_is_that_of_torchmetrics(data_range: float) -> None:
    expected = structural_similarity_index_measure(OTHERS, IMAGES, data_range=data_range)
    assert isinstance(expected, torch.Tensor)
    padded = [F.pad(images, (5, 5, 5, 5), mode="reflect") for images in (OTHERS, IMAGES)]  # as it does itself
    torch.testing.assert_close(SSIM(data_range=data_range)(*padded), 1 - expected, rtol=1e-4, atol=1e-5)


def test_equal_images_lose_nothing_and_gradients_lead_there() -> None:
    loss = SSIM(window=5)
    assert loss(IMAGES, IMAGES).item() == pytest.approx(0, abs=1e-6)
    guess = OTHERS.clone().requires_grad_()
    optimizer = torch.optim.Adam([guess], lr=0.02)
    first = loss(guess, IMAGES).item()
    for _ in range(40):
        optimizer.zero_grad()
        loss(guess, IMAGES).backward()
        optimizer.step()
    assert loss(guess, IMAGES).item() < first / 4


def test_half_precision_does_not_reach_it() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        inside = SSIM()(OTHERS, IMAGES)
    assert torch.equal(inside, SSIM()(OTHERS, IMAGES))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"windows of 11x11 pixels, but images have 8x9; set loss.window=7"):
        SSIM(image_size=(8, 9))
    with pytest.raises(ValueError, match=r"loss.window must be odd and positive, got 4"):
        SSIM(window=4)
    with pytest.raises(ValueError, match=r"loss.data_range must be above 0, got 0"):
        SSIM(data_range=0)
