"""Data that is held whole, on the device or beside it: a batch is an index. No workers, no collation."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from runner.batch import Batch
from runner.data.order import only
from runner.data.source import Arrays, Examples
from runner.data.transfer import arriving, gathered, sent

SHARE = 0.5  # of the free memory that data may take: the model, its gradients and the batches need the rest


@runtime_checkable
class Loadable(Protocol):
    """Examples that are the same each time they are read, so that they may be read once and kept."""

    @property
    def nbytes(self) -> int:
        """The size of what ``arrays`` returns."""
        ...

    def arrays(self) -> Arrays: ...


class Feed(Protocol):
    """Brings examples to the device: one batch for each tensor of indices, in that order."""

    def __len__(self) -> int: ...

    def batches(
        self,
        indices: Iterable[Tensor],
        *,
        first_step: int = 0,
        workers: int | None = None,
        rows: Callable[[int], slice] | None = None,
    ) -> Iterator[Batch]:
        """``first_step`` numbers the first batch; draws for single examples are a function of that number.

        ``workers`` replaces the number of reading processes, if there are any. ``rows`` says which rows are wanted of a
        batch of so many; None: all.
        """
        ...


class Resident:
    """Whole tensors on ``device``, as the type they are stored in."""

    def __init__(self, arrays: Arrays, device: torch.device) -> None:
        self.tensors = tuple(tensor.to(device) for tensor in arrays.tensors)
        self.device = device

    def __len__(self) -> int:
        return len(self.tensors[0])

    def batches(
        self,
        indices: Iterable[Tensor],
        *,
        first_step: int = 0,  # noqa: ARG002
        workers: int | None = None,  # noqa: ARG002
        rows: Callable[[int], slice] | None = None,
    ) -> Iterator[tuple[Tensor, ...]]:
        for index in sent(only(rows, indices), self.device):
            # On uint8, index_select is several times faster than tensor[index].
            yield tuple(tensor.index_select(0, index) for tensor in self.tensors)


class Hosted:
    """Whole tensors in the memory of the host; batches are gathered there and copied while ``device`` computes."""

    def __init__(self, arrays: Arrays, device: torch.device) -> None:
        self.tensors = tuple(tensor.cpu() for tensor in arrays.tensors)
        self.device = device

    def __len__(self) -> int:
        return len(self.tensors[0])

    def batches(
        self,
        indices: Iterable[Tensor],
        *,
        first_step: int = 0,  # noqa: ARG002
        workers: int | None = None,  # noqa: ARG002
        rows: Callable[[int], slice] | None = None,
    ) -> Iterator[tuple[Tensor, ...]]:
        pinned = self.device.type == "cuda"
        there = (
            tuple(gathered(tensor, index, pinned=pinned) for tensor in self.tensors) for index in only(rows, indices)
        )
        return arriving(there, self.device)


def resident_fits(parts: Iterable[Examples], device: torch.device) -> bool:
    """Whether all parts can be held on ``device`` and take at most half of the memory that is free there.

    Arrays on the CPU are there already and take nothing. Examples that are neither ``Arrays`` nor
    ``Loadable`` may differ from one reading to the next, and never fit.
    """
    needed = 0
    for part in parts:
        if isinstance(part, Arrays):
            needed += sum(t.nbytes for t in part.tensors if t.device.type != device.type)
        elif isinstance(part, Loadable):
            needed += part.nbytes
        else:
            return False
    return needed <= SHARE * free_bytes(device)


def free_bytes(device: torch.device) -> int:
    """Memory of ``device`` that could be had now; the host's for a device that shares it."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
        return int(lines["MemAvailable"].split()[0]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2  # macOS does not say what is free
