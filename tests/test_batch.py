"""Batches of any nesting."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from runner.batch import map_tensors, size_of, split, tensors


class Pair(NamedTuple):
    images: Tensor
    labels: Tensor


def nested(size: int) -> dict[str, Any]:
    here = torch.arange(size)
    return {"pair": Pair(here, here + 1), "list": [here + 2, (here + 3,)], "note": "a word"}


def test_mapping_keeps_the_nesting_and_what_is_no_tensor() -> None:
    doubled = map_tensors(lambda tensor: tensor * 2, nested(3))
    assert isinstance(doubled["pair"], Pair)
    assert isinstance(doubled["list"], list)
    assert isinstance(doubled["list"][1], tuple)
    assert doubled["note"] == "a word"
    assert [tensor.tolist() for tensor in tensors(doubled)] == [[0, 2, 4], [2, 4, 6], [4, 6, 8], [6, 8, 10]]


@pytest.mark.parametrize(
    ("size", "parts", "sizes"), [(7, 3, [2, 2, 3]), (6, 3, [2, 2, 2]), (2, 5, [1, 1]), (4, 1, [4])]
)
def test_split_gives_every_sample_once_in_order_and_no_empty_piece(size: int, parts: int, sizes: list[int]) -> None:
    pieces = split(nested(size), parts)
    assert [size_of(piece) for piece in pieces] == sizes
    assert torch.equal(torch.cat([piece["pair"].images for piece in pieces]), torch.arange(size))
    assert torch.equal(torch.cat([piece["list"][1][0] for piece in pieces]), torch.arange(size) + 3)


def test_one_piece_is_the_batch_itself() -> None:
    batch = nested(3)
    assert split(batch, 1)[0] is batch


def test_a_batch_without_tensors_has_no_size() -> None:
    with pytest.raises(ValueError, match="must hold at least one tensor, got dict"):
        size_of({"a": "b"})
