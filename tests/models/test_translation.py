from __future__ import annotations

import pytest
import torch
from torch import nn

from runner.models import DCGAN, CycleGAN, Pix2pix
from runner.models.translation import PatchDiscriminator

SIZES = [(8, 8), (32, 32), (29, 47), (33, 12), (64, 96), (256, 256)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("generator", ["unet", "resnet"])
def test_images_of_any_size_become_images_of_that_size(generator: str, size: tuple[int, int]) -> None:
    with torch.device("meta"):
        model = Pix2pix(
            in_channels=1,
            out_channels=3,
            image_size=size,
            generator=generator,
            width=4,
            discriminator_width=4,
            discriminator_layers=1,
        )
        images = torch.empty(2, 1, *size)
        drawn = model(images)
        assert drawn.shape == (2, 3, *size)
        assert model.discriminator(torch.cat([images, drawn], 1)).shape[:2] == (2, 1)


def test_a_cycle_has_a_generator_each_way_and_a_discriminator_of_each_kind() -> None:
    with torch.device("meta"):
        model = CycleGAN(in_channels=1, out_channels=3, image_size=(32, 32), width=4, blocks=1, discriminator_layers=2)
        inputs, targets = torch.empty(2, 1, 32, 32), torch.empty(2, 3, 32, 32)
        assert model(inputs).shape == targets.shape
        assert model.generators["back"](targets).shape == inputs.shape
        assert model.discriminators["input"](inputs).shape == (2, 1, 6, 6)
        assert model.discriminators["target"](targets).shape == (2, 1, 6, 6)


@pytest.mark.parametrize(("layers", "patch"), [(1, 16), (2, 34), (3, 70)])
def test_a_patch_is_as_wide_as_in_the_paper(layers: int, patch: int) -> None:
    """How many columns of the image have a gradient of one output in the middle."""
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(in_channels=1, width=2, layers=layers, norm="none").double()
    image = torch.randn(1, 1, 160, 160, dtype=torch.float64, requires_grad=True)
    out = discriminator(image)
    out[0, 0, out.shape[2] // 2, out.shape[3] // 2].backward()
    assert image.grad is not None
    assert (image.grad[0, 0].abs().sum(0) > 0).sum().item() == patch


@pytest.mark.parametrize("generator", ["unet", "resnet"])
@pytest.mark.parametrize("norm", ["batch", "instance", "layer", "none"])
def test_every_parameter_is_reached(generator: str, norm: str) -> None:
    torch.manual_seed(0)
    model = Pix2pix(
        in_channels=1,
        out_channels=1,
        image_size=(16, 16),
        generator=generator,
        width=4,
        blocks=2,
        norm=norm,
        discriminator_width=4,
        discriminator_layers=2,
        discriminator_norm=norm,
    )
    images = torch.randn(3, 1, 16, 16)
    drawn = model(images)
    assert drawn.abs().max() <= 1
    (model.discriminator(torch.cat([images, drawn], 1)).sigmoid() ** 2).sum().backward()
    kinds = {"batch": nn.BatchNorm2d, "instance": nn.InstanceNorm2d, "layer": nn.GroupNorm}
    found = {name for name, kind in kinds.items() if any(isinstance(module, kind) for module in model.modules())}
    assert found == ({norm} if norm != "none" else set())
    for path, parameter in model.named_parameters():
        assert parameter.grad is not None, path
        assert parameter.grad.abs().sum() > 0, path


def test_the_settings_of_generators_are_seen() -> None:
    def count(**settings: object) -> int:
        given = {"in_channels": 1, "out_channels": 1, "image_size": (32, 32), "width": 4, **settings}
        model = Pix2pix(**given, discriminator_layers=2)  # type: ignore[arg-type]
        return sum(parameter.numel() for parameter in model.generator.parameters())

    with torch.device("meta"):
        assert count(levels=2) < count(levels=3) < count(levels=4) == count()
        assert count(generator="resnet", blocks=1) < count(generator="resnet", blocks=2)
        assert count(width=4) < count(width=8)
    rates = {
        m.p
        for m in Pix2pix(
            in_channels=1, out_channels=1, image_size=(32, 32), width=4, dropout=0.25, discriminator_layers=1
        ).modules()
        if isinstance(m, nn.Dropout)
    }
    assert rates == {0.25}


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_the_norm_of_a_dcgans_discriminator(norm: str) -> None:
    model = DCGAN(in_channels=1, image_size=(16, 16), width=4, discriminator_norm=norm)
    kinds = {type(module).__name__ for module in model.discriminator.modules()}
    assert {"BatchNorm2d", "GroupNorm"} & kinds == {"batch": {"BatchNorm2d"}, "layer": {"GroupNorm"}, "none": set()}[
        norm
    ]
    torch.manual_seed(0)
    images = torch.randn(4, 1, 16, 16)
    alone = torch.allclose(model.discriminator(images)[:2], model.discriminator(images[:2]), atol=1e-6)
    assert alone == (norm != "batch")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"generator": "vit"}, r"model\.generator must be unet or resnet, got 'vit'"),
        ({"image_size": (7, 32)}, "at least 8x8 pixels are needed"),
        ({"generator": "unet", "levels": 5}, r"model\.levels must lie between 1 and 4"),
        ({"width": 0}, r"model\.width and model\.blocks must be at least 1"),
        ({"dropout": 1.0}, r"model\.dropout must lie in \[0, 1\)"),
        ({"norm": "weight"}, "a norm must be batch, instance, layer or none, got 'weight'"),
        (
            {"discriminator_layers": 4},
            r"discriminator_layers must lie between 1 and 3.*set model\.discriminator_layers=3",
        ),
        ({"discriminator_width": 0}, r"model\.discriminator_width must be at least 1"),
    ],
)
@pytest.mark.parametrize("kind", [Pix2pix, CycleGAN])
def test_wrong_settings_are_refused(kind: type[nn.Module], settings: dict[str, object], message: str) -> None:
    given = {"in_channels": 1, "out_channels": 1, "image_size": (32, 32), "width": 4, "blocks": 1, **settings}
    with pytest.raises(ValueError, match=message):
        kind(**given)


def test_a_dcgan_refuses_another_norm() -> None:
    with pytest.raises(ValueError, match=r"model\.discriminator_norm must be batch, layer or none, got 'instance'"):
        DCGAN(in_channels=1, image_size=(16, 16), discriminator_norm="instance")
