"""Batches on their way to the device: nothing is lost, changed or put in another order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from runner.data.transfer import TOGETHER, arriving, gathered, moved, sent

CPU = torch.device("cpu")
DEVICES = [CPU, pytest.param(torch.device("cuda", 0), marks=pytest.mark.gpu)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("count", [0, 1, TOGETHER - 1, TOGETHER, 3 * TOGETHER + 2])
def test_indices_that_travel_together_arrive_one_by_one(device: torch.device, count: int) -> None:
    batches = [torch.arange(step, step + 1 + step % 3) for step in range(count)]
    there = list(sent(iter(batches), device))
    assert len(there) == count
    assert all(torch.equal(a.cpu(), b) and a.device == device for a, b in zip(there, batches, strict=True))


def test_indices_without_end_are_read_a_few_batches_ahead() -> None:
    endless = (torch.tensor([step]) for step in itertools.count())
    assert [index.item() for index in itertools.islice(sent(endless, CPU), 40)] == list(range(40))
    assert next(endless).item() == 3 * TOGETHER


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float32])
def test_rows_are_gathered_and_arrive(device: torch.device, dtype: torch.dtype) -> None:
    rows = torch.arange(60).view(20, 3).to(dtype)
    order = torch.split(torch.randperm(20), 6)
    pinned = device.type == "cuda"
    host = [(gathered(rows, index, pinned=pinned), index) for index in order]
    assert all(batch[0].is_pinned() == pinned for batch in host)
    there = list(arriving(iter(host), device))
    assert len(there) == len(order)
    for (got, index), expected in zip(there, order, strict=True):
        assert got.device == index.device == device
        assert got.dtype == dtype
        assert torch.equal(got.cpu(), rows[expected])
        assert torch.equal(index.cpu(), expected)


@pytest.mark.parametrize("device", DEVICES)
def test_an_error_on_the_way_is_not_swallowed(device: torch.device) -> None:
    def broken() -> Iterator[tuple[Tensor, ...]]:
        yield (torch.ones(2),)
        yield (torch.ones(2),)
        raise OSError("unreadable")

    with pytest.raises(OSError, match="unreadable"):
        list(arriving(broken(), device))


def test_what_is_there_stays_as_it_is() -> None:
    tensor = torch.ones(2)
    assert moved(tensor, CPU) is tensor
