"""torchvision's detectors on batches of images with padded boxes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import finder
import pytest
import torch
from torch import Tensor

from runner.models.detectors import Detector, fasterrcnn, retinanet

Build = Callable[..., Detector]
FACTS: dict[str, Any] = {"in_channels": 1, "image_size": (40, 72), "num_classes": 3, "width": 8}
SMALLEST = {"backbone": "resnet18", "strides": [4, 8]}
LOSSES = {fasterrcnn: finder.LOSSES, retinanet: ("classification", "bbox_regression")}


def small(build: Build, **others: Any) -> Detector:
    settings = FACTS | SMALLEST | ({"head_width": 8} if build is fasterrcnn else {}) | others
    return build(**settings)


def batch() -> tuple[Tensor, Tensor, Tensor]:
    """The second image has one box, the third none."""
    images = torch.randn(3, 1, 40, 72)
    boxes = torch.tensor([[[2.0, 3, 20, 25], [30, 5, 60, 30]], [[10, 10, 30, 30], [0, 0, 0, 0]], [[0] * 4, [0] * 4]])
    return images, boxes, torch.tensor([[1, 3], [2, 0], [0, 0]])


@pytest.mark.slow
@pytest.mark.parametrize("build", [fasterrcnn, retinanet])
def test_losses_with_boxes_and_boxes_without(build: Build) -> None:
    model, (images, boxes, labels) = small(build), batch()
    losses = model(images, boxes, labels)
    assert tuple(losses) == LOSSES[build] == model.loss_names
    total = torch.stack(list(losses.values())).sum()
    torch.autograd.backward(total)
    assert {name for name, weight in model.named_parameters() if weight.grad is None} == set()
    assert set(model.eval()(images, boxes, labels)) == set(losses)
    assert not any(part.training for part in model.modules())
    rows = model(images)
    assert rows.shape == (3, 100 if build is fasterrcnn else 300, 6)
    found = rows[rows[..., 5] > 0]
    assert ((found[:, 5] >= 1) & (found[:, 5] <= 3)).all()
    assert ((found[:, :4] >= 0) & (found[:, :4] <= torch.tensor([72, 40, 72, 40]))).all()
    assert (rows[:, 1:, 4] <= rows[:, :-1, 4]).all()  # the highest score first, zeros last


def test_images_are_taken_as_they_are() -> None:
    """Neither resized nor normalised: torchvision's own preparation would do both."""
    network, images = small(retinanet).network, torch.randn(2, 1, 40, 72)
    for training in (True, False):
        given, _ = network.train(training).transform(list(images))
        assert torch.equal(given.tensors[:, :, :40, :72], images)
        assert given.image_sizes == [(40, 72)] * 2


@pytest.mark.parametrize(("size", "strides"), [((64, 128), [4, 8, 16, 32]), ((160, 160), [8, 16, 32, 64])])
def test_the_pyramid_suits_the_images(size: tuple[int, int], strides: list[int]) -> None:
    model = small(fasterrcnn, image_size=size, strides=None, anchor_scales=[3.0])
    features = model.network.backbone(torch.zeros(2, 1, *size))
    assert [tuple(level.shape[2:]) for level in features.values()] == [
        (-(-size[0] // stride), -(-size[1] // stride)) for stride in strides
    ]
    assert model.network.rpn.anchor_generator.sizes == tuple((3.0 * stride,) for stride in strides)


@pytest.mark.slow
def test_boxes_keep_full_precision_under_autocast() -> None:
    """At half precision an anchor at 72 pixels would be rounded to half a pixel."""
    model, (images, boxes, labels) = small(fasterrcnn), batch()
    with torch.autocast("cpu", torch.bfloat16):
        losses = model(images, boxes, labels)
        rows = model.eval()(images)
        assert model.network.backbone.body.conv1(images).dtype == torch.bfloat16
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
    assert rows.dtype == torch.float32
    assert model.network.rpn.anchor_generator.cell_anchors[0].dtype == torch.float32


def test_what_is_compiled_has_shapes_that_do_not_change(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small(retinanet)
    seen: list[str] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **_: seen.append(type(self).__name__))
    model.compile(dynamic=False)
    assert seen == ["BackboneWithFPN"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"backbone": "vgg16"}, "model.backbone must be one of mobilenet_v3_large, resnet18"),
        ({"strides": [16, 8]}, r"model.strides must be some of 4, 8, 16, 32, in this order, got \[16, 8\]"),
        ({"strides": []}, "model.strides must be some of"),
        ({"width": 12}, "model.width must be a multiple of 8, got 12"),
        ({"anchor_scales": []}, "model.anchor_scales must be numbers above 0"),
        ({"aspect_ratios": [0.0]}, "model.aspect_ratios must be numbers above 0"),
        ({"options": {"score_treshold": 0.1}}, "model.options names score_treshold, but RetinaNet takes"),
        ({"options": {"min_size": 7}}, "model.options names min_size, but"),
    ],
)
def test_what_has_no_meaning_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        small(retinanet, **settings)


def test_options_reach_torchvision() -> None:
    model = small(fasterrcnn, options={"box_detections_per_img": 7, "rpn_post_nms_top_n_test": 11})
    assert model.eval()(torch.zeros(1, 1, 40, 72)).shape == (1, 7, 6)
    assert model.network.rpn.post_nms_top_n() == 11


def test_mobilenet_is_a_backbone_too() -> None:
    model = small(fasterrcnn, backbone="mobilenet_v3_large", strides=[8, 32])
    features = model.network.backbone(torch.zeros(2, 1, 64, 64))
    assert [tuple(level.shape[1:]) for level in features.values()] == [(8, 8, 8), (8, 2, 2), (8, 1, 1)]
    assert not [module for module in model.modules() if type(module).__name__ == "FrozenBatchNorm2d"]
    assert all(weight.requires_grad for weight in model.parameters())
