"""The first samples of a data set."""

from __future__ import annotations

from dataclasses import replace

import pytest
import tiny
import torch

from runner.data.source import Arrays
from runner.data.subset import first_samples


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
    few = first_samples(replace(tiny.splits(), train=Squares()), 3)
    assert len(few.train) == 3
    assert [few.train[index][0].item() for index in range(3)] == [0, 1, 4]
    assert len(first_samples(replace(tiny.splits(), train=Squares()), 50).train) == 10
    with pytest.raises(IndexError):
        few.train[3]


@pytest.mark.parametrize(
    ("count", "expected", "sizes"),
    [
        (5, [0, 1, 4, 36, 49], {"near": 3, "far": 2}),
        (9, [0, 1, 4, 9, 16, 36, 49, 64, 81], {"near": 5, "far": 4}),
        (1, [0], {"near": 1}),
    ],
)
@pytest.mark.parametrize("train_only", [False, True])
def test_of_several_sets_each_gives_its_first(
    count: int, expected: list[int], sizes: dict[str, int], train_only: bool
) -> None:
    together = replace(tiny.splits(), train=Squares(), sets={"train": {"near": 6, "far": 4}})
    few = first_samples(together, count, train_only=train_only)
    assert [few.train[place][0].item() for place in range(len(few.train))] == expected
    assert few.sets == dict.fromkeys(("train", "valid", "test") if train_only else ("train",), sizes)


@pytest.mark.parametrize("count", [0, -1])
def test_no_samples_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"debug.samples must be at least 1, got {count}"):
        first_samples(tiny.splits(), count)
