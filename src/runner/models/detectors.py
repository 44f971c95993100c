"""torchvision's detectors, with a feature pyramid and anchors that suit the data."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runner.batch import map_tensors
from runner.models.from_torchvision import adapt_stem

SMALL_UP_TO_PIXELS = 128
_OF_RESNETS = {4: "layer1", 8: "layer2", 16: "layer3", 32: "layer4"}
LAYERS = {  # of a backbone, after which features have this stride in pixels
    "mobilenet_v3_large": {4: "3", 8: "6", 16: "12", 32: "16"},
    "resnet18": _OF_RESNETS,
    "resnet34": _OF_RESNETS,
    "resnet50": _OF_RESNETS,
    "resnet101": _OF_RESNETS,
}
NORM_CHANNELS = 8  # in each group of a head's normalisation


class Detector(nn.Module):
    """A detector of torchvision for batches of images (B, C, H, W) of one size.

    With boxes (B, M, 4), x1, y1, x2, y2 in pixels, and classes (B, M) from 1, both 0 where an image has no more boxes,
    it gives its losses by name, in training mode and in evaluation mode. Without, it gives what it found, (B, D, 6): a
    box, its score and its class in each row, the highest score first, and zeros behind the last one. Convolutions may
    run in half precision, boxes do not.
    """

    def __init__(
        self, network: nn.Module, *, loss_names: tuple[str, ...], half_precision: Sequence[nn.Module], max_count: int
    ) -> None:
        """``half_precision`` are the parts of ``network`` that may give it, as they end in a convolution or a linear
        layer. It finds up to ``max_count`` boxes in an image.
        """
        super().__init__()
        self.network: Any = network  # of which more is known than of a module
        self.loss_names = loss_names
        self.max_count = max_count
        for part in half_precision:
            part.register_forward_hook(_in_full_precision)

    def forward(
        self, images: Tensor, boxes: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor] | Tensor:
        if boxes is None or labels is None:
            with _asked(self.network, for_losses=False):
                return self._rows(self.network(list(images)))
        of_images = zip(boxes, labels, strict=True)
        targets = [{"boxes": some[real > 0], "labels": real[real > 0]} for some, real in of_images]
        with _asked(self.network, for_losses=True):
            losses: dict[str, Tensor] = self.network(list(images), targets)
        return {name: losses[name] for name in self.loss_names}

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the backbone. In what picks boxes each number of boxes would need code of its own."""
        self.network.backbone.compile(*args, **kwargs)

    def _rows(self, found: Sequence[Mapping[str, Tensor]]) -> Tensor:
        columns = [
            torch.cat([one["boxes"], one["scores"].unsqueeze(1), one["labels"].unsqueeze(1)], 1).detach()
            for one in found
        ]
        return torch.stack([F.pad(rows, (0, 0, 0, self.max_count - len(rows))) for rows in columns])


def fasterrcnn(
    *,
    in_channels: int,
    image_size: tuple[int, int],
    num_classes: int,
    backbone: str = "mobilenet_v3_large",
    strides: Sequence[int] | None = None,
    width: int = 256,
    head_width: int = 1024,
    anchor_scales: Sequence[float] = (4.0,),
    aspect_ratios: Sequence[float] = (0.5, 1.0, 2.0),
    options: Mapping[str, Any] | None = None,
) -> Detector:
    """Ren et al., "Faster R-CNN: towards real-time object detection with region proposal networks" (2015), on the
    feature pyramid of Lin et al. (2017), without trained weights.

    The pyramid has ``width`` channels on levels with ``strides`` in pixels, and a level of twice the last one; None: 4,
    8 and 16 where a side is at most 128 pixels, else 8, 16 and 32. The sides of anchors are ``anchor_scales`` times a
    level's stride, ``aspect_ratios`` height by width. ``head_width`` is that of the two layers that judge a proposal.
    ``options`` goes to torchvision's class.
    Raises ``ValueError`` for an unknown backbone, stride or option, and for numbers out of their range.
    """
    from torchvision.models.detection import FasterRCNN
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
    from torchvision.ops import MultiScaleRoIAlign
    from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

    strides = _strides(strides, image_size)
    _check(width=width, head_width=head_width, anchor_scales=anchor_scales, aspect_ratios=aspect_ratios)
    pool = MultiScaleRoIAlign([str(level) for level in range(len(strides))], output_size=7, sampling_ratio=2)
    network = _built(
        FasterRCNN,
        options,
        backbone=_pyramid(backbone, in_channels, strides=strides, width=width, extra=LastLevelMaxPool()),
        rpn_anchor_generator=_anchors([*strides, 2 * strides[-1]], anchor_scales, aspect_ratios),
        box_roi_pool=pool,
        box_head=TwoMLPHead(width * 7 * 7, head_width),
        box_predictor=FastRCNNPredictor(head_width, num_classes + 1),
        **_as_given(in_channels, image_size),
    )
    names = ("loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg")
    half_precision = (network.backbone.fpn, network.rpn.head, network.roi_heads.box_predictor)
    return Detector(
        network, loss_names=names, half_precision=half_precision, max_count=network.roi_heads.detections_per_img
    )


def retinanet(
    *,
    in_channels: int,
    image_size: tuple[int, int],
    num_classes: int,
    backbone: str = "resnet50",
    strides: Sequence[int] | None = None,
    width: int = 256,
    anchor_scales: Sequence[float] = (4.0, 5.04, 6.35),
    aspect_ratios: Sequence[float] = (0.5, 1.0, 2.0),
    options: Mapping[str, Any] | None = None,
) -> Detector:
    """Lin et al., "Focal loss for dense object detection" (2017), without trained weights; arguments as above.

    The pyramid goes on by two levels of twice the stride each. Heads have group normalisation, and boxes are compared
    by their generalised intersection over union, as in torchvision's second version.
    """
    from torchvision.models.detection import RetinaNet
    from torchvision.models.detection.retinanet import RetinaNetHead
    from torchvision.ops.feature_pyramid_network import LastLevelP6P7

    strides = _strides(strides, image_size)
    _check(width=width, anchor_scales=anchor_scales, aspect_ratios=aspect_ratios)
    anchors = _anchors([*strides, 2 * strides[-1], 4 * strides[-1]], anchor_scales, aspect_ratios)
    head = RetinaNetHead(width, anchors.num_anchors_per_location()[0], num_classes + 1, norm_layer=_norm)
    head.regression_head._loss_type = "giou"
    network = _built(
        RetinaNet,
        options,
        backbone=_pyramid(backbone, in_channels, strides=strides, width=width, extra=LastLevelP6P7(width, width)),
        num_classes=num_classes + 1,
        anchor_generator=anchors,
        head=head,
        **_as_given(in_channels, image_size),
    )
    half_precision, names = (network.backbone.fpn, network.head), ("classification", "bbox_regression")
    return Detector(network, loss_names=names, half_precision=half_precision, max_count=network.detections_per_img)


def _strides(strides: Sequence[int] | None, image_size: tuple[int, int]) -> list[int]:
    if strides is None:
        return [4, 8, 16] if min(image_size) <= SMALL_UP_TO_PIXELS else [8, 16, 32]
    known = next(iter(LAYERS.values()))
    if not strides or list(strides) != [stride for stride in known if stride in strides]:
        raise ValueError(
            f"model.strides must be some of {', '.join(map(str, known))}, in this order, got {list(strides)}; "
            "set model.strides=[8,16,32]"
        )
    return list(strides)


def _check(*, anchor_scales: Sequence[float], aspect_ratios: Sequence[float], **widths: int) -> None:
    for name, width in widths.items():
        if width < NORM_CHANNELS or width % NORM_CHANNELS:
            raise ValueError(f"model.{name} must be a multiple of {NORM_CHANNELS}, got {width}; set model.{name}=256")
    for name, values in (("anchor_scales", anchor_scales), ("aspect_ratios", aspect_ratios)):
        if not values or min(values) <= 0:
            raise ValueError(f"model.{name} must be numbers above 0, got {list(values)}; set model.{name}=[1.0]")


def _pyramid(name: str, in_channels: int, *, strides: Sequence[int], width: int, extra: nn.Module) -> nn.Module:
    """Features (B, width, H / stride, W / stride) of each stride, then those of the ``extra`` levels."""
    from torchvision import models
    from torchvision.models.detection.backbone_utils import BackboneWithFPN

    if name not in LAYERS:
        raise ValueError(
            f"model.backbone must be one of {', '.join(LAYERS)}, got {name!r}; set model.backbone=resnet18"
        )
    body: Any = models.get_model(name, weights=None)
    adapt_stem(body, in_channels, small=False)
    layers = {LAYERS[name][stride]: str(level) for level, stride in enumerate(strides)}
    if name.startswith("resnet"):
        channels = [body.fc.in_features * stride // 32 for stride in strides]
    else:
        body = body.features
        channels = [body[int(layer)].out_channels for layer in layers]
    made: nn.Module = BackboneWithFPN(body, layers, channels, width, extra_blocks=extra)
    return made


def _norm(channels: int) -> nn.Module:
    return nn.GroupNorm(channels // NORM_CHANNELS, channels)


def _anchors(strides: Sequence[int], scales: Sequence[float], ratios: Sequence[float]) -> Any:
    from torchvision.models.detection.anchor_utils import AnchorGenerator

    sizes = tuple(tuple(scale * stride for scale in scales) for stride in strides)
    return AnchorGenerator(sizes, (tuple(ratios),) * len(strides))


def _as_given(in_channels: int, image_size: tuple[int, int]) -> dict[str, Any]:
    """For torchvision's own preparation: images are neither resized nor normalised a second time."""
    sides = {"min_size": min(image_size), "max_size": max(image_size), "_skip_resize": True}
    return {**sides, "image_mean": [0.0] * in_channels, "image_std": [1.0] * in_channels}


def _built(kind: type[nn.Module], options: Mapping[str, Any] | None, **settings: Any) -> Any:
    options = dict(options or {})
    known = [
        name
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.kind == parameter.POSITIONAL_OR_KEYWORD and name not in (*settings, "num_classes")
    ]
    if unknown := sorted(options.keys() - set(known)):
        raise ValueError(f"model.options names {', '.join(unknown)}, but {kind.__name__} takes {', '.join(known)}")
    return kind(**settings, **options)


@contextmanager
def _asked(network: nn.Module, *, for_losses: bool) -> Iterator[None]:
    """Inside, the parts of torchvision's that give losses in training mode and boxes otherwise, do as they are asked;
    batch norm stays in its mode.
    """
    parts = [part for name, part in network.named_modules() if name in ("", "transform", "rpn", "roi_heads")]
    modes = [part.training for part in parts]
    for part in parts:
        part.training = for_losses
    try:
        yield
    finally:
        for part, mode in zip(parts, modes, strict=True):
            part.training = mode


def _in_full_precision(_module: nn.Module, _inputs: object, outputs: Any) -> Any:
    """Anchors and boxes take the type of features: in half precision they would miss by pixels."""
    return map_tensors(lambda tensor: tensor.float(), outputs)
