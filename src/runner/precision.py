"""Automatic mixed precision without branches in the loop: full precision is the identity."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Literal, Protocol

import torch

from runner.batch import Batch, map_tensors, size_of, split
from runner.losses.terms import Loss

if TYPE_CHECKING:
    from runner.tasks.task import Task

PrecisionName = Literal["auto", "fp32", "bf16", "fp16"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def resolve(name: str, device: torch.device) -> str:
    """What ``auto`` means on ``device``: bf16 on a GPU that has it, else fp16 on a GPU, else fp32.

    Raises ``ValueError`` for an unknown name.
    """
    if name in DTYPES:
        return name
    if name != "auto":
        raise ValueError(f"precision must be one of auto, {', '.join(DTYPES)}, got {name!r}")
    if device.type != "cuda":
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


class Parts(Protocol):
    """The parts of one loss, which add up to it. Each is computed when it is asked for."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Loss]: ...


class Counted:
    """``Parts`` of which it is known how many come."""

    def __init__(self, parts: Iterator[Loss], count: int) -> None:
        self.parts = parts
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Loss]:
        return self.parts


class Precision:
    """The dtype in which networks run. Weights, and sums over a batch, stay in fp32."""

    def __init__(self, name: str = "auto", *, device: torch.device, micro_batches: int = 1) -> None:
        if micro_batches < 1:
            raise ValueError(f"micro_batches must be at least 1, got {micro_batches}")
        self.name = resolve(name, device)
        self.device = device
        self.micro_batches = micro_batches

    def autocast(self) -> AbstractContextManager[object]:
        if self.name == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=DTYPES[self.name])

    def scaler(self) -> torch.amp.GradScaler:
        """A new loss scaler: acts for fp16 only, whose gradients would underflow; otherwise the identity."""
        return torch.amp.GradScaler(self.device.type, enabled=self.name == "fp16")

    def losses(self, task: Task, batch: Batch) -> Iterator[tuple[str, Parts]]:
        """``(name, parts)`` for each loss of the task: its parts over the micro-batches, which add up to the loss.

        All parts of one loss are asked for before the task goes on to its next loss, so an update made of the parts
        is seen by what the task computes next, whatever the number of micro-batches. Autocast is left between
        losses: its cache would otherwise serve the weights from before the update.
        """
        pieces = split(batch, self.micro_batches)
        shares = [1.0] if len(pieces) == 1 else [size_of(piece) / size_of(batch) for piece in pieces]
        running = [task.losses(piece) for piece in pieces]
        while True:
            with self.autocast():
                first = next(running[0], None)
            if first is None:
                return
            name, loss = first
            yield name, Counted(self._parts(name, loss, running, shares), len(pieces))

    def _parts(
        self, name: str, first: Loss, running: list[Iterator[tuple[str, Loss]]], shares: list[float]
    ) -> Iterator[Loss]:
        if len(running) == 1:
            yield first
            return
        yield _times(shares[0], first)
        for losses, share in zip(running[1:], shares[1:], strict=True):
            with self.autocast():
                other, loss = next(losses, (None, first))
            if other != name:
                raise ValueError(f"a task must yield the same losses for each batch, got {name!r} and then {other!r}")
            yield _times(share, loss)


def _times(share: float, loss: Loss) -> Loss:
    return map_tensors(lambda term: term * share, loss)  # type: ignore[no-any-return]
