"""The first samples of a data set."""

from __future__ import annotations

import pytest
import tiny
import torch

from runner.data.source import Arrays
from runner.data.subset import First, first_samples


class Squares:
    """Examples that are made when they are asked for."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> tuple[torch.Tensor, ...]:
        return (torch.tensor(index**2),)


def test_each_part_is_cut_and_the_rest_is_kept() -> None:
    splits = tiny.splits()
    few = first_samples(splits, 10)
    assert [len(part) for part in (few.train, few.valid, few.test)] == [10, 7, 7]
    assert isinstance(few.train, Arrays)
    assert torch.equal(few.train.tensors[0], splits.train.tensors[0][:10])  # type: ignore[attr-defined]
    assert few.spec == splits.spec
    assert few.notes == {"first_samples": 10}
    assert len(splits.train) == tiny.SAMPLES


def test_train_only_makes_the_training_samples_all_parts() -> None:
    few = first_samples(tiny.splits(), 3, train_only=True)
    assert few.valid is few.train
    assert few.test is few.train


def test_examples_that_are_not_arrays_are_cut_without_being_read() -> None:
    first = First(Squares(), 3)
    assert len(first) == 3
    assert [first[index][0].item() for index in range(3)] == [0, 1, 4]
    assert len(First(Squares(), 50)) == 10
    with pytest.raises(IndexError):
        first[3]


@pytest.mark.parametrize("count", [0, -1])
def test_no_samples_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"debug.samples must be at least 1, got {count}"):
        first_samples(tiny.splits(), count)
