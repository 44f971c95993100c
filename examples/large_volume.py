"""Predict a volume that need not fit into memory: python examples/large_volume.py RUN VOLUME.h5 PREDICTION.h5.

RUN is a folder of ``python -m runner experiment=volumes_unet3d``. VOLUME.h5 holds ``raw`` (D, H, W), uint8; what is
written is ``probabilities`` (classes, D, H, W).
"""

import json
import sys
from pathlib import Path

import h5py
import torch
from torch import Tensor

from runner.models import UNet3D
from runner.tiles import predict_tiled

run, source, target = map(Path, sys.argv[1:])
data = json.loads((run / "manifest.json").read_text())["data"]
weights = torch.load(run / "checkpoints" / "best_iou.pt", weights_only=True)["task"]
model = UNet3D(in_channels=1, num_classes=3, channels=8).eval()
model.load_state_dict({name.removeprefix("model."): tensor for name, tensor in weights.items()})


def probabilities(tiles: Tensor) -> Tensor:
    images = (tiles.float() / 255 - data["mean"][0]) / data["std"][0]  # as in training
    return model(images).softmax(dim=1)


with h5py.File(source) as given, h5py.File(target, "w") as made:
    raw = given["raw"]
    out = made.create_dataset("probabilities", (3, *raw.shape), "float32")
    predict_tiled(probabilities, raw, tile=(24, 24, 24), overlap=(12, 12, 12), halo=(4, 4, 4), batch_size=8, out=out)
