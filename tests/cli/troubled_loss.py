"""A loss that ends its run in the way that a file in the current folder names for the job, in its second step."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

import torch
from hydra.core.hydra_config import HydraConfig
from torch import Tensor, nn

CAUSES = {
    "raise": "the lookup table has no entry for 17",
    "exit": "the run called sys.exit(3)",
    "crash": "killed by SIGSEGV (segmentation fault); stack in console.log",
    "kill": "killed by SIGKILL: perhaps the system ran out of memory",
    "diverge": "train/loss became nan at step 2",
}
"""The ways, and how what is said of each begins."""


class TroubledLoss(nn.CrossEntropyLoss):
    """``troubles.txt`` has a line for each troubled job: ``mlp__17 raise``."""

    steps = 0

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        loss = super().forward(logits, labels)
        self.steps += self.training and not logits.is_meta
        return self._troubled(loss) if self.steps == 2 else loss

    def _troubled(self, loss: Tensor) -> Tensor:
        file, job = Path("troubles.txt"), Path(HydraConfig.get().runtime.output_dir).name
        lines = file.read_text().splitlines() if file.is_file() else []
        way = dict(line.split() for line in lines).get(job)
        if way == "raise":
            raise ValueError("the lookup table has no entry for 17")
        if way == "exit":
            sys.exit(3)
        if way == "crash":
            ctypes.string_at(0)
        if way == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        return loss * torch.nan if way == "diverge" else loss
