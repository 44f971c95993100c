"""The network of airbench94 against its mathematics."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runner.models import Airbench
from runner.models.airbench import AirbenchBlock, whitening_kernels


def network(channels: int = 3, size: tuple[int, int] = (32, 32), width: int = 4) -> Airbench:
    torch.manual_seed(0)
    return Airbench(in_channels=channels, image_size=size, num_classes=10, width=width)


def correlated(count: int, channels: int = 3, side: int = 9) -> Tensor:
    """Images whose pixels have something to do with their neighbours."""
    noise = torch.randn(count, channels, side, side, generator=torch.Generator().manual_seed(1))
    return noise.cumsum(2).cumsum(3) / side + noise.roll(1, 1)


def patches_of(images: Tensor, size: int) -> Tensor:
    """Each patch of each image as a row (patches, C * size**2), one at a time."""
    height, width = images.shape[2:]
    places = [(top, left) for top in range(height - size + 1) for left in range(width - size + 1)]
    return torch.stack([i[:, t : t + size, left : left + size].flatten() for i in images for t, left in places])


@pytest.mark.parametrize(("channels", "size"), [(3, 2), (1, 3)])
def test_the_kernels_invert_the_second_moments(channels: int, size: int) -> None:
    images, eps = correlated(6, channels), 5e-4
    kernels = whitening_kernels(images, size=size, eps=eps)
    patches = patches_of(images, size).double()
    moments = patches.T @ patches / len(patches)
    half = len(kernels) // 2
    assert kernels.shape == (2 * channels * size**2, channels, size, size)
    assert torch.equal(kernels[half:], -kernels[:half])
    rows = kernels[:half].flatten(1).double()
    values, _ = torch.linalg.eigh(moments)
    torch.testing.assert_close(rows.T @ rows, torch.linalg.inv(moments + eps * torch.eye(half)), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(moments @ rows.T, rows.T * values, rtol=1e-4, atol=1e-4)  # smallest eigenvalue first


def test_whitened_patches_are_uncorrelated() -> None:
    images = correlated(40)
    seen = F.conv2d(images, whitening_kernels(images, size=2, eps=0.0)[:12])  # (40, 12, 8, 8)
    flat = seen.transpose(0, 1).flatten(1)
    torch.testing.assert_close(flat @ flat.T / flat.size(1), torch.eye(12), atol=1e-3, rtol=0)


def test_many_images_are_taken_in_parts() -> None:
    images = correlated(1003, channels=1, side=3)
    patches = patches_of(images, 2)
    rows = whitening_kernels(images, size=2, eps=0.1)[:4].flatten(1)
    expected = torch.linalg.inv(patches.T @ patches / len(patches) + 0.1 * torch.eye(4))
    torch.testing.assert_close(rows.T @ rows, expected, rtol=1e-4, atol=1e-4)


def test_data_set_the_first_kernels_and_nothing_else() -> None:
    model, images = network(), correlated(8, side=32)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.initialise_from_data(images)
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"whiten.weight"}
    assert torch.equal(model.whiten.weight, whitening_kernels(images, size=2, eps=5e-4))


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_its_formula(training: bool) -> None:
    model = network().train(training)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        if not training:
            mean, var = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
        centred = (x - mean.view(-1, 1, 1)) / (var.view(-1, 1, 1) + 1e-12).sqrt()
        normed: Tensor = centred + weights[f"{name}.bias"].view(-1, 1, 1)
        return normed

    images = torch.randn(6, 3, 32, 32)
    x = F.gelu(F.conv2d(images, weights["whiten.weight"], weights["whiten.bias"]))
    for block in ("blocks.0", "blocks.1", "blocks.2"):
        x = F.max_pool2d(F.conv2d(x, weights[f"{block}.conv1.weight"], padding="same"), 2)
        x = F.gelu(norm(x, f"{block}.norm1"))
        x = F.gelu(norm(F.conv2d(x, weights[f"{block}.conv2.weight"], padding="same"), f"{block}.norm2"))
    expected = F.max_pool2d(x, 3).flatten(1) @ weights["head.weight"].T / 16
    torch.testing.assert_close(model(images), expected, rtol=1e-4, atol=1e-4)


def test_statistics_follow_the_last_batches() -> None:
    model, images = network(), torch.randn(4, 3, 32, 32)
    block = model.blocks[0]
    assert isinstance(block, AirbenchBlock)
    given = F.max_pool2d(block.conv1(F.gelu(model.whiten(images))), 2)
    model(images)
    torch.testing.assert_close(block.norm1.running_mean, 0.4 * given.mean((0, 2, 3)))


def test_it_begins_as_the_source_does() -> None:
    model = network(width=64)
    assert model.head.weight.std().item() == pytest.approx(1.0)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    kinds = [
        f"blocks.{n}.{kind}" for n in range(3) for kind in ("conv1.weight", "norm1.bias", "conv2.weight", "norm2.bias")
    ]
    assert trained == {"whiten.bias", *kinds, "head.weight"}
    for block in model.blocks:
        assert isinstance(block, AirbenchBlock)
        for convolution in (block.conv1, block.conv2):
            signal = torch.randn(2, convolution.in_channels, 5, 5)
            torch.testing.assert_close(convolution(signal)[:, : signal.size(1)], signal)
    assert sum(parameter.numel() for parameter in model.parameters()) == 1_972_792


@pytest.mark.parametrize("size", [(9, 9), (28, 28), (29, 40), (64, 33)])
@pytest.mark.parametrize("channels", [1, 3])
def test_it_adapts_to_the_data(size: tuple[int, int], channels: int) -> None:
    with torch.device("meta"):
        assert network(channels, size)(torch.empty(2, channels, *size)).shape == (2, 10)


def test_every_trained_parameter_has_a_gradient() -> None:
    model = network(size=(17, 17))
    torch.autograd.backward(nn.functional.cross_entropy(model(torch.randn(6, 3, 17, 17)), torch.arange(6)))
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(ValueError, match=r"at least 9x9 pixels, got 8x9; set dataset\.image_size=32"):
        network(size=(8, 9))
    with pytest.raises(ValueError, match=r"model\.width must be at least 1, got 0"):
        network(width=0)
