"""Tables as pictures."""

from __future__ import annotations

import torch

from runner.observers.heat_map import CELL, FULL, NARROW, NUMBERED, heat_map

DARK = torch.tensor(FULL) / 255


def cell(picture: torch.Tensor, row: int, column: int, *, size: int, count: int) -> torch.Tensor:
    """The colour beside the upper left corner of a cell."""
    margin = picture.shape[1] - 1 - size * count
    return picture[:, margin + row * size + 2, margin + column * size + 2]


def test_a_cell_is_as_dark_as_its_share_of_the_row() -> None:
    picture = heat_map(torch.tensor([[3, 0], [1, 1]]), names=("cat", "dog"))
    assert picture.shape[0] == 3
    assert torch.equal(cell(picture, 0, 0, size=CELL, count=2), DARK)
    assert torch.equal(cell(picture, 0, 1, size=CELL, count=2), torch.ones(3))
    half = cell(picture, 1, 0, size=CELL, count=2)
    assert torch.allclose(half, (1 + DARK) / 2, atol=1 / 255)


def test_many_classes_have_small_cells_and_no_numbers() -> None:
    count = NUMBERED + 1
    picture = heat_map(torch.eye(count))
    assert torch.equal(cell(picture, 7, 7, size=NARROW, count=count), DARK)
    assert torch.equal(cell(picture, 7, 8, size=NARROW, count=count), torch.ones(3))


def test_names_and_empty_rows() -> None:
    """Another name is another picture; a class without samples is a white row."""
    table = torch.tensor([[0, 0], [0, 5]])
    picture = heat_map(table, names=("a", "b"))
    assert not torch.equal(picture, heat_map(table, names=("a", "c")))
    assert torch.equal(heat_map(table), heat_map(table, names=("0", "1")))
    assert torch.equal(cell(picture, 0, 0, size=CELL, count=2), torch.ones(3))
