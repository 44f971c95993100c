"""From the host to the device without waiting: page-locked memory, and a stream beside the one that computes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor

from runner.batch import Batch, map_tensors, tensors

TOGETHER = 16  # batches


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """``tensor`` on ``device``, without waiting for the device."""
    if device.type != "cuda" or tensor.device == device:
        return tensor.to(device)
    return (tensor if tensor.is_pinned() else tensor.pin_memory()).to(device, non_blocking=True)


def sent(indices: Iterator[Tensor], device: torch.device) -> Iterator[Tensor]:
    """``indices``, one tensor (B,) a batch, on ``device``: those of several batches in one transfer."""
    while several := list(islice(indices, TOGETHER)):
        yield from torch.split(moved(torch.cat(several), device), [len(index) for index in several])


def gathered(tensor: Tensor, index: Tensor, *, pinned: bool) -> Tensor:
    """The rows of a host tensor that ``index`` names, in new memory that a GPU can read by itself if ``pinned``.

    torch hands page-locked memory out again only when the copies from it are done.
    """
    out = torch.empty((len(index), *tensor.shape[1:]), dtype=tensor.dtype, pin_memory=pinned)
    # On uint8, index_select is several times faster than tensor[index].
    return torch.index_select(tensor, 0, index, out=out)


def arriving(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """``batches`` on ``device``. To a CUDA device each is copied while the one before it is computed on.

    The copies have a stream of their own, and so are read one batch ahead.
    """
    if device.type != "cuda":
        yield from (map_tensors(lambda tensor: tensor.to(device), batch) for batch in batches)
        return
    copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    ahead: tuple[Batch, torch.cuda.Event] | None = None
    for batch in batches:
        with torch.cuda.stream(copies):
            coming = map_tensors(lambda tensor: moved(tensor, device), batch), copies.record_event()
        if ahead is not None:
            yield _arrived(*ahead)
        ahead = coming
    if ahead is not None:
        yield _arrived(*ahead)


def _arrived(batch: Batch, copied: torch.cuda.Event) -> Batch:
    """``batch`` for the stream that computes: it waits for the copy, and memory is not reused before it is done."""
    whole = list(tensors(batch))
    current = torch.cuda.current_stream(whole[0].device)
    current.wait_event(copied)
    for tensor in whole:
        tensor.record_stream(current)
    return batch
