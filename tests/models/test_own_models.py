"""What every network of our own promises: shapes, the meta device, gradients, known sizes, refusals."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from runner import models
from runner.models import CAE, MLP, VGG, AlexNet, LeNet, ResNet, UNet, ViT, WideResNet

Size = tuple[int, int]
Build = Callable[[int, Size, int], nn.Module]  # of in_channels, image_size, num_classes

CLASSIFIERS: dict[str, tuple[Build, Size]] = {  # with the smallest size
    "vgg11": (lambda c, s, k: VGG(in_channels=c, image_size=s, num_classes=k, depth=11), (32, 32)),
    "resnet": (lambda c, s, k: ResNet(in_channels=c, image_size=s, num_classes=k, width=4), (1, 1)),
    "resnet_strided": (
        lambda c, s, k: ResNet(in_channels=c, image_size=s, num_classes=k, width=4, stem="strided"),
        (1, 1),
    ),
    "resnet_imagenet": (
        lambda c, s, k: ResNet(
            in_channels=c, image_size=s, num_classes=k, width=4, stem="imagenet", block="bottleneck", layers=[1, 1]
        ),
        (1, 1),
    ),
    "wide_resnet": (lambda c, _, k: WideResNet(in_channels=c, num_classes=k, depth=10, widen_factor=1), (1, 1)),
    "unet": (lambda c, _, k: UNet(in_channels=c, num_classes=k, channels=4, levels=2), (1, 1)),
    "unet_group": (lambda c, _, k: UNet(in_channels=c, num_classes=k, channels=4, levels=3, norm="group"), (1, 1)),
    "unet_plain": (lambda c, _, k: UNet(in_channels=c, num_classes=k, channels=4, levels=1, norm="none"), (1, 1)),
    "lenet": (lambda c, s, k: LeNet(in_channels=c, image_size=s, num_classes=k), (12, 12)),
    "lenet_tanh": (lambda c, s, k: LeNet(in_channels=c, image_size=s, num_classes=k, activation="tanh"), (12, 12)),
    "alexnet": (lambda c, s, k: AlexNet(in_channels=c, image_size=s, num_classes=k, hidden=64), (8, 8)),
    "mlp": (lambda c, s, k: MLP(in_channels=c, image_size=s, num_classes=k, hidden=[8, 8]), (1, 1)),
    "logistic": (lambda c, s, k: MLP(in_channels=c, image_size=s, num_classes=k, hidden=[]), (1, 1)),
    "vit": (lambda c, s, k: ViT(in_channels=c, image_size=s, num_classes=k, width=16, depth=2, heads=2), (1, 1)),
}
SIZES: list[Size] = [(8, 8), (32, 32), (29, 31), (69, 72)]


def _count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_gives_logits_on_meta(name: str, size: Size, channels: int) -> None:
    build, smallest = CLASSIFIERS[name]
    size = (max(size[0], smallest[0]), max(size[1], smallest[1]))
    with torch.device("meta"):
        logits = build(channels, size, 7)(torch.empty(2, channels, *size))
    assert logits.shape == (2, 7)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_smallest_size_runs_on_the_cpu_and_reaches_every_parameter(name: str) -> None:
    build, smallest = CLASSIFIERS[name]
    size = (max(8, smallest[0]), max(8, smallest[1]))
    torch.manual_seed(0)
    model = build(1, size, 3)
    logits: Tensor = model(torch.randn(8, 1, *size))
    assert logits.shape == (8, 3)
    torch.autograd.backward(nn.functional.cross_entropy(logits, torch.arange(8) % 3))
    for path, parameter in model.named_parameters():
        assert parameter.grad is not None, path
        assert parameter.grad.isfinite().all(), path
        assert parameter.grad.abs().sum() > 0, path


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        # 14,728,266 in the usual CIFAR version, whose 4,224 convolution biases the batch norm after them undoes
        (lambda: VGG(in_channels=3, image_size=(32, 32), num_classes=10), 14_724_042),
        (lambda: ResNet(in_channels=3, image_size=(32, 32), num_classes=10), 11_173_962),
        (lambda: ResNet(in_channels=3, image_size=(224, 224), num_classes=1000), 11_689_512),
        (
            lambda: ResNet(in_channels=3, image_size=(32, 32), num_classes=10, block="bottleneck", layers=[3, 4, 6, 3]),
            23_520_842,
        ),
        (
            lambda: ResNet(
                in_channels=3, image_size=(224, 224), num_classes=1000, block="bottleneck", layers=[3, 4, 6, 3]
            ),
            25_557_032,
        ),
        (lambda: WideResNet(in_channels=3, num_classes=10), 36_479_194),
        (lambda: UNet(in_channels=3, num_classes=2, output="pixels", channels=64), 31_037_698),
        (lambda: LeNet(in_channels=1, image_size=(28, 28), num_classes=10), 61_706),
        (lambda: AlexNet(in_channels=3, image_size=(224, 224), num_classes=1000), 61_100_840),
        (lambda: ViT(in_channels=3, image_size=(224, 224), num_classes=1000), 5_717_416),
    ],
)
def test_the_parameters_are_as_many_as_published(build: Callable[[], nn.Module], expected: int) -> None:
    with torch.device("meta"):
        assert _count(build()) == expected


def test_resnet18_small_is_small() -> None:
    with torch.device("meta"):
        model = ResNet(in_channels=1, image_size=(28, 28), num_classes=10, width=16, stem="strided")
    assert 650_000 < _count(model) < 750_000


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: VGG(in_channels=3, image_size=(8, 8), num_classes=9), "at least 32x32 pixels, got 8x8; set dataset"),
        (lambda: VGG(in_channels=3, image_size=(64, 31), num_classes=9), "at least 32x32 pixels, got 64x31"),
        (lambda: VGG(in_channels=3, image_size=(32, 32), num_classes=9, depth=12), "model.depth must be 11, 13"),
        (lambda: LeNet(in_channels=3, image_size=(8, 8), num_classes=9), "at least 12x12 pixels, got 8x8"),
        (
            lambda: LeNet(in_channels=3, image_size=(28, 28), num_classes=9, activation="gelu"),
            "model.activation must be relu or tanh, got gelu",
        ),
        (lambda: AlexNet(in_channels=3, image_size=(7, 9), num_classes=9), "at least 8x8 pixels, got 7x9"),
        (
            lambda: AlexNet(in_channels=3, image_size=(32, 32), num_classes=9, stem="imagenet"),
            "at least 63x63 pixels, got 32x32; set model.stem=auto",
        ),
        (lambda: AlexNet(in_channels=3, image_size=(9, 9), num_classes=9, stem="x"), "model.stem must be auto"),
        (lambda: ResNet(in_channels=3, image_size=(9, 9), num_classes=9, stem="x"), "model.stem must be auto"),
        (lambda: ResNet(in_channels=3, image_size=(9, 9), num_classes=9, block="x"), "model.block must be basic"),
        (lambda: ResNet(in_channels=3, image_size=(9, 9), num_classes=9, layers=[]), "model.layers needs"),
        (lambda: ResNet(in_channels=3, image_size=(9, 9), num_classes=9, layers=[2, 0]), "model.layers needs"),
        (lambda: WideResNet(in_channels=3, num_classes=9, depth=27), "6n \\+ 4\\), got 27"),
        (lambda: WideResNet(in_channels=3, num_classes=9, depth=4), "6n \\+ 4\\), got 4"),
        (lambda: WideResNet(in_channels=3, num_classes=9, widen_factor=0), "model.widen_factor must be at least 1"),
        (lambda: UNet(in_channels=3, num_classes=9, output="boxes"), "classes, pixels or image, got output=boxes"),
        (lambda: UNet(in_channels=3, num_classes=9, norm="layer"), "model.norm must be batch, group or none"),
        (lambda: UNet(in_channels=3, num_classes=9, levels=0), "model.levels must be at least 1, got 0"),
        (lambda: UNet(in_channels=3, num_classes=9, channels=0), "model.channels must be at least 1, got 0"),
        (lambda: MLP(in_channels=3, image_size=(9, 9), num_classes=9, hidden=[8, 0]), "model.hidden needs positive"),
        (
            lambda: ViT(in_channels=3, image_size=(30, 32), num_classes=9, patch_size=4),
            "model.patch_size=4 divides, got 30x32 \\(32x32 would fit\\)",
        ),
        (lambda: ViT(in_channels=3, image_size=(32, 32), num_classes=9, patch_size=0), "got 32x32"),
        (lambda: ViT(in_channels=3, image_size=(32, 32), num_classes=9, heads=5), "multiple of model.heads=5, got 192"),
        (lambda: CAE(in_channels=3, image_size=(9, 9), channels=[]), "model.channels needs positive widths"),
    ],
)
def test_what_cannot_be_built_is_refused(build: Callable[[], nn.Module], message: str) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        build()


def test_vit_refuses_images_that_make_too_many_patches() -> None:
    with pytest.raises(ValueError, match=r"at most 1024 patches, but images of 97x97 give 9409 of 1x1.*like 96x96"):
        ViT(in_channels=3, image_size=(97, 97), num_classes=10)


@pytest.mark.parametrize(("side", "patch"), [(8, 1), (28, 4), (32, 4), (64, 8), (96, 12), (224, 16), (5, 1)])
def test_vit_chooses_its_patch(side: int, patch: int) -> None:
    with torch.device("meta"):
        model = ViT(in_channels=1, image_size=(side, side), num_classes=2, depth=1)
    assert model.embedding.kernel_size == (patch, patch)


@pytest.mark.parametrize(("side", "expected"), [(63, 63), (64, 16)])
def test_the_automatic_stem_keeps_the_resolution_of_small_images(side: int, expected: int) -> None:
    with torch.device("meta"):
        model = ResNet(in_channels=3, image_size=(side, side), num_classes=2)
        assert model.stem(torch.empty(1, 3, side, side)).shape == (1, 64, expected, expected)


def test_the_strided_stem_halves_the_resolution() -> None:
    with torch.device("meta"):
        model = ResNet(in_channels=1, image_size=(28, 28), num_classes=2, stem="strided")
        assert model.stem(torch.empty(1, 1, 28, 28)).shape == (1, 64, 14, 14)


@pytest.mark.parametrize(
    "build",
    [
        lambda p: VGG(in_channels=1, image_size=(32, 32), num_classes=5, depth=11, dropout=p),
        lambda p: ResNet(in_channels=1, image_size=(32, 32), num_classes=5, width=4, dropout=p),
        lambda p: WideResNet(in_channels=1, num_classes=5, depth=10, widen_factor=1, dropout=p),
        lambda p: UNet(in_channels=1, num_classes=5, channels=8, levels=1, dropout=p),
        lambda p: AlexNet(in_channels=1, image_size=(32, 32), num_classes=5, hidden=32, dropout=p),
        lambda p: MLP(in_channels=1, image_size=(32, 32), num_classes=5, hidden=[64], dropout=p),
        lambda p: ViT(in_channels=1, image_size=(32, 32), num_classes=5, width=16, depth=1, heads=1, dropout=p),
    ],
)
def test_dropout_acts_in_training_and_only_there(build: Callable[[float], nn.Module]) -> None:
    torch.manual_seed(0)
    images = torch.randn(4, 1, 32, 32)
    dropping, keeping = build(0.5), build(0.0)
    assert not torch.equal(dropping(images), dropping(images))
    assert torch.equal(keeping(images), keeping(images))
    dropping.eval()
    assert torch.equal(dropping(images), dropping(images))


@pytest.mark.parametrize("size", [(8, 8), (1, 1), (33, 47), (28, 30)])
def test_unet_gives_what_its_output_says_at_any_size(size: Size) -> None:
    torch.manual_seed(0)
    images = torch.randn(2, 3, *size)
    for output, shape in {"pixels": (2, 5, *size), "image": (2, 3, *size), "classes": (2, 5)}.items():
        model = UNet(in_channels=3, num_classes=5, output=output, channels=4, levels=3)
        assert model(images).shape == shape


def test_unet_classes_are_its_pixels_averaged() -> None:
    torch.manual_seed(0)
    pixels = UNet(in_channels=1, num_classes=5, output="pixels", channels=4, levels=2).eval()
    classes = UNet(in_channels=1, num_classes=5, output="classes", channels=4, levels=2).eval()
    classes.load_state_dict(pixels.state_dict())
    images = torch.randn(2, 1, 9, 11)
    torch.testing.assert_close(classes(images), pixels(images).mean((2, 3)))


def test_every_public_name_is_there_and_no_other() -> None:
    for name in models.__all__:
        assert isinstance(getattr(models, name), type)
    assert dir(models) == sorted(models.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Perceptron'"):
        _ = models.Perceptron
