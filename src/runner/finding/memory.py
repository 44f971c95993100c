"""What a batch size takes of a GPU's memory, by trying it."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace

import torch
from omegaconf import DictConfig

from runner import loop
from runner.batch import Batch
from runner.checkpoint import NoCheckpoints
from runner.composition import compose
from runner.config import build
from runner.finding.batch_size import largest
from runner.finding.rate import CONSTANT, free
from runner.observers.observers import Observers
from runner.session import Session
from runner.state import State

STEPS = 3  # the first makes the optimizer's state, the others show the peak with it
TOO_MUCH = math.inf
NO_MEMORY = ("out of memory", "STATUS_ALLOC_FAILED")  # what torch, cuBLAS and cuDNN say


def room_gib(device: torch.device) -> float:
    """The memory that is free now, or held by torch for nothing."""
    free(device)
    return float(torch.cuda.mem_get_info(device)[0]) / 2**30


@dataclass
class Sizes:
    """The batch sizes of ``cfg`` on ``device``, each tried once. Networks are not compiled for it."""

    cfg: DictConfig
    device: torch.device
    peaks_gib: dict[int, float] = field(default_factory=dict)  # by batch size; infinite for one that does not fit

    def largest(self, room_gib: float = TOO_MUCH) -> int:
        """The largest one that does not need more than the device has, nor more than ``room_gib``; 0 for none."""

        def fits(batch_size: int) -> bool:
            peak_gib = self.peak_gib(batch_size)
            return math.isfinite(peak_gib) and peak_gib <= room_gib

        return largest(fits, start=self.cfg.trainer.batch_size, limit=self.samples)

    @property
    def samples(self) -> int:
        """Of the training part: a batch cannot have more."""
        return len(build.load_splits(self.cfg).train)

    def peak_gib(self, batch_size: int) -> float:
        """What torch takes for training steps and an evaluation batch; infinite when that is more than there is."""
        if batch_size not in self.peaks_gib:
            torch.cuda.reset_peak_memory_stats(self.device)
            fitted = self._tried(batch_size)
            peak_gib = torch.cuda.max_memory_reserved(self.device) / 2**30
            free(self.device)  # here, where no traceback holds on to tensors
            self.peaks_gib[batch_size] = peak_gib if fitted else TOO_MUCH
        return self.peaks_gib[batch_size]

    def _tried(self, batch_size: int) -> bool:
        cfg = of_size(self.cfg, batch_size)
        try:
            use(compose(cfg, device=self.device, state=State()).session)
            torch.cuda.synchronize(self.device)
        except RuntimeError as error:
            if not any(word in str(error) for word in NO_MEMORY):
                raise
            return False
        return True


def of_size(cfg: DictConfig, batch_size: int) -> DictConfig:
    """``cfg`` with another batch size, and with all that thaws later thawed: the most that it takes."""
    for_ever = {pattern: None for pattern, epoch in build.frozen_until(cfg).items() if epoch is None}
    values = {"trainer.batch_size": batch_size, "trainer.evaluate_every_steps": 1, "trainer.save_every_steps": 1}
    return build.with_values(build.tentative(cfg), {"scheduler": CONSTANT, "freeze": for_ever or None, **values})


def use(session: Session) -> None:
    """Make the first training steps, and score one batch."""
    never = STEPS + 1
    plan = replace(session.plan, total_steps=never, evaluate_every_steps=never, save_every_steps=never).until(STEPS)
    replace(session, plan=plan, checkpoints=NoCheckpoints(), observers=Observers((), plan)).train()
    one = replace(session, data=_OneBatch(session.data), sets={})
    one.evaluate("valid", STEPS)


@dataclass(frozen=True)
class _OneBatch:
    """The first batch of each part."""

    data: loop.Batches

    def train(self, first_step: int) -> Generator[Batch, None, None]:
        return self.data.train(first_step)

    def part(self, name: str) -> Iterator[Batch]:
        yield next(self.data.part(name))
