"""A model with which one process of several fails, when the environment says so."""

from __future__ import annotations

import os
import signal

from torch import Tensor, distributed, nn


class Troubled(nn.Module):
    """``TROUBLE=raise:4`` or ``kill:4``: what the second process does in its fourth training step."""

    def __init__(self, *, num_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Dropout(0.5), nn.Linear(8, num_classes))
        self.steps = 0

    def forward(self, images: Tensor) -> Tensor:
        self.steps += self.training
        how, _, step = os.environ.get("TROUBLE", "no:0").partition(":")
        if self.training and self.steps == int(step) and distributed.is_initialized() and distributed.get_rank() == 1:
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise KeyError("this is the trouble")
        scores: Tensor = self.layers(images)
        return scores
