"""Models that cannot do without content, without a GPU, or without the right samples."""

from __future__ import annotations

import torch
from cli.user_code import Linear
from torch import Tensor, nn


@torch.library.custom_op("runner_tests::on_gpu_only", mutates_args=(), device_types="cuda")
def on_gpu_only(images: Tensor) -> Tensor:
    return images.clone()


class Branches(Linear):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images * 2 if images.sum().item() > 0 else images)


class Selects(Linear):
    def forward(self, images: Tensor) -> Tensor:
        logits = super().forward(images)
        return logits + logits[logits.nonzero()[:, 0]].mean()


class Counts(Linear):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * len(images.mean().sign().numpy(force=True).reshape(-1))


class FailsForZeros(Linear):
    def forward(self, images: Tensor) -> Tensor:
        if images.abs().sum().item() == 0:
            raise ValueError("there is nothing to be seen")
        return super().forward(images)


class WantsDarkness(Linear):
    """Works for zeros only."""

    def forward(self, images: Tensor) -> Tensor:
        if images.abs().max().item() > 0:
            raise ValueError("the images are too bright")
        return super().forward(images)


class BranchesThenMisfits(nn.Module):
    def __init__(self, *, num_classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(7, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layer(images.flatten(1) * (1 if images.sum().item() > 0 else 2))
        return logits


class BranchesThenMistypes(Linear):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images.flatten("one") if images.sum().item() > -1e9 else images)  # type: ignore[arg-type]


class NoForward(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)


class OnGpuOnly(Linear):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(on_gpu_only(images))
