"""U-Nets of volumes: sizes, letters, and what the two papers do differently."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from runner.models import ResidualUNet3D, UNet3D
from runner.models.unet3d import Layer, ResidualBlock, SymmetricUNet3D, layer_letters

NETS = (UNet3D, ResidualUNet3D)
VOLUMES = torch.randn(2, 2, 8, 4, 12, generator=torch.Generator().manual_seed(0))


def made(kind: type[UNet3D] | type[ResidualUNet3D], **settings: object) -> SymmetricUNet3D:
    small = {"in_channels": 2, "num_classes": 5, "channels": 4} | settings
    return kind(**small)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize(("output", "channels"), [("pixels", 5), ("image", 2)])
@pytest.mark.parametrize("levels", [1, 3])
def test_volumes_keep_their_size(
    kind: type[UNet3D] | type[ResidualUNet3D], output: str, channels: int, levels: int
) -> None:
    model = made(kind, output=output, levels=levels, image_size=(8, 4, 12))
    outputs = model(VOLUMES)
    assert outputs.shape == (2, channels, 8, 4, 12)
    outputs.square().mean().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.slow
def test_channels_double_on_the_way_down_and_within_a_level() -> None:
    """Figure 2 of Çiçek et al. (2016), from 64 channels on: what each convolution gives."""
    model = UNet3D(in_channels=3, num_classes=3, channels=64, levels=4, layer_order="cr")
    widths = [m.out_channels for m in model.modules() if isinstance(m, nn.Conv3d)]
    assert widths == [32, 64, 64, 128, 128, 256, 256, 512, 256, 256, 128, 128, 64, 64, 3]
    ups = [m.out_channels for m in model.modules() if isinstance(m, nn.ConvTranspose3d)]
    assert ups == [512, 256, 128]
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count - sum(ups) == 19_069_955  # as the paper says, without the biases of transposed convolutions


def test_a_residual_block_adds_to_its_first_layer() -> None:
    model = made(ResidualUNet3D, levels=1, layer_order="cr", in_channels=1)
    block = model.encoders[0]
    assert isinstance(block, ResidualBlock)
    last = list(block.rest.children())[-1]
    assert [type(part) for part in last.children()] == [nn.Conv3d]  # no activation before the sum
    for parameter in last.parameters():
        nn.init.zeros_(parameter)
    volumes = torch.randn(1, 1, 4, 4, 4)
    torch.testing.assert_close(block(volumes), block.first(volumes))


@pytest.mark.parametrize("joining", ["sum", "concatenate"])
def test_joining_says_what_a_decoder_gets(joining: str) -> None:
    decoder = made(ResidualUNet3D, levels=2, joining=joining).decoders[0]
    assert next(m.in_channels for m in decoder.modules() if isinstance(m, nn.Conv3d)) == (4 if joining == "sum" else 12)


@pytest.mark.parametrize(
    ("letters", "kinds", "bias"),
    [
        ("gcr", ["GroupNorm", "Conv3d", "ReLU"], True),
        ("cbr", ["Conv3d", "BatchNorm3d", "ReLU"], False),
        ("cli", ["Conv3d", "LeakyReLU", "InstanceNorm3d"], True),
        ("ce", ["Conv3d", "ELU"], True),
        ("c", ["Conv3d"], True),
    ],
)
def test_letters_are_layers_in_their_order(letters: str, kinds: list[str], bias: bool) -> None:
    layer = Layer(3, 16, letters=layer_letters(letters, None))
    assert [type(part).__name__ for part in layer] == kinds
    convolution = layer[letters.index("c")]
    assert (convolution.bias is not None) == bias
    assert layer(torch.randn(2, 3, 4, 4, 4)).shape == (2, 16, 4, 4, 4)


@pytest.mark.parametrize(
    ("norm", "letters"), [(None, "gcr"), ("group", "gcr"), ("batch", "bcr"), ("instance", "icr"), ("none", "cr")]
)
def test_norm_replaces_the_letter(norm: str | None, letters: str) -> None:
    assert layer_letters("gcr", norm) == letters


@pytest.mark.parametrize("order", ["", "g", "gr", "cc", "gbc", "cre", "rc", "gcx"])
def test_an_order_that_means_nothing_is_refused(order: str) -> None:
    with pytest.raises(ValueError, match=r"model\.layer_order must have one c .* set model\.layer_order=gcr"):
        made(UNet3D, layer_order=order)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"norm": "layer"}, r"model\.norm must be group, batch, instance, none or null, got 'layer'"),
        ({"norm": "batch", "layer_order": "cr"}, r"has none; set model\.layer_order=gcr"),
        ({"output": "classes"}, "the task wants classes; set task=segmentation"),
        ({"channels": 0}, r"model\.channels must be at least 1, got 0"),
        ({"levels": 0}, r"model\.levels must be at least 1, got 0"),
        ({"image_size": (32, 32)}, "but the data have the size 32x32; set dataset"),
        ({"image_size": (8, 8, 10)}, r"model\.levels=3 halves .* multiples of 4, got 8x8x10; set dataset\.image_size"),
    ],
)
def test_what_does_not_fit_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made(UNet3D, **settings)


def test_other_sizes_are_refused_when_they_come() -> None:
    with pytest.raises(ValueError, match="multiples of 4, got 4x4x6"):
        made(UNet3D)(torch.zeros(1, 2, 4, 4, 6))
    with pytest.raises(ValueError, match=r"model\.joining must be concatenate or sum, got 'product'"):
        made(ResidualUNet3D, joining="product")
