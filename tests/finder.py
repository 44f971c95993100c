"""The smallest detector, and the smallest data for it."""

from __future__ import annotations

from typing import Any

from torch import nn

from runner.data.sources import ShapesBoxes
from runner.losses import DetectorLoss
from runner.models.detectors import Detector
from runner.tasks import Detection

PIXELS = 16
BOXES = ShapesBoxes(image_size=PIXELS, max_boxes=2, train_size=22, valid_size=7, test_size=7)
LOSSES = ("loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg")


def detector() -> Detector:
    """One level of stride 4 with batch norm, on which anchors and proposals are drawn at random."""
    from torchvision.models.detection import FasterRCNN
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
    from torchvision.models.detection.rpn import AnchorGenerator
    from torchvision.ops import MultiScaleRoIAlign

    backbone: Any = nn.Sequential(nn.Conv2d(3, 4, 5, stride=4, padding=2), nn.BatchNorm2d(4), nn.ReLU())
    backbone.out_channels = 4
    network: Any = FasterRCNN(
        backbone,
        min_size=PIXELS,
        max_size=PIXELS,
        image_mean=[0.0] * 3,
        image_std=[1.0] * 3,
        rpn_anchor_generator=AnchorGenerator(((5,),), ((1.0,),)),
        rpn_batch_size_per_image=8,
        rpn_post_nms_top_n_train=8,
        rpn_post_nms_top_n_test=4,
        box_roi_pool=MultiScaleRoIAlign(["0"], output_size=2, sampling_ratio=1),
        box_head=TwoMLPHead(4 * 2 * 2, 6),
        box_predictor=FastRCNNPredictor(6, 4),
        box_batch_size_per_image=4,
        box_detections_per_img=5,
    )
    half_precision = (network.backbone, network.rpn.head, network.roi_heads.box_predictor)
    return Detector(network, loss_names=LOSSES, half_precision=half_precision, max_count=5)


def task() -> Detection:
    return Detection(detector(), DetectorLoss())
