"""The order of examples: permutations an epoch, a function of (seed, epoch), entered anywhere."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from runner.data.order import TrainingOrder, evaluation_order
from runner.randomness import Randomness

SETS = {"near": range(10), "far": range(10, 17)}


def first(count: int, *, seed: int = 0, first_step: int = 0) -> list[Tensor]:
    return taken(TrainingOrder([10], 4), count, seed=seed, first_step=first_step)


def taken(order: TrainingOrder, count: int, *, seed: int = 0, first_step: int = 0) -> list[Tensor]:
    return list(itertools.islice(order.batches(randomness=Randomness(seed), first_step=first_step), count))


def several(order: str) -> TrainingOrder:
    return TrainingOrder([len(places) for places in SETS.values()], 4, order=order)


def sources(batches: list[Tensor]) -> list[str]:
    """Of which sets each batch holds samples."""
    return ["+".join(name for name, places in SETS.items() if set(places) & set(batch.tolist())) for batch in batches]


def test_each_epoch_is_a_permutation_whose_last_batch_is_short() -> None:
    batches = first(6)
    assert [len(batch) for batch in batches] == [4, 4, 2, 4, 4, 2]
    for epoch in (batches[:3], batches[3:]):
        assert sorted(torch.cat(epoch).tolist()) == list(range(10))


def test_one_set_comes_as_it_always_has() -> None:
    """The bits of runs that were recorded before there were several sets."""
    epochs = [torch.randperm(10, generator=Randomness(0).generator("order", epoch)) for epoch in (0, 1)]
    for order in ("mixed", "alternated", "in_sequence"):
        assert torch.equal(torch.cat(taken(TrainingOrder([10], 4, order=order), 6)), torch.cat(epochs))


def test_epochs_and_seeds_differ_and_a_seed_repeats() -> None:
    epochs, other, again = torch.cat(first(6)).view(2, 10), torch.cat(first(3, seed=1)), torch.cat(first(3))
    assert not torch.equal(epochs[0], epochs[1])
    assert not torch.equal(epochs[0], other)
    assert torch.equal(epochs[0], again)


@pytest.mark.parametrize("order", ["mixed", "alternated", "in_sequence"])
@pytest.mark.parametrize("step", [0, 1, 4, 5, 6, 13])
def test_any_step_can_be_entered(order: str, step: int) -> None:
    whole, tail = taken(several(order), 16), taken(several(order), 16 - step, first_step=step)
    assert all(torch.equal(a, b) for a, b in zip(whole[step:], tail, strict=True))


def test_a_far_step_is_reached_without_replay() -> None:
    assert len(first(1, first_step=3 * 10**12)[0]) == 4
    assert len(taken(several("alternated"), 1, first_step=5 * 10**12)[0]) == 4


# --- several sets, of 10 and 7 samples in batches of 4


@pytest.mark.parametrize(
    ("order", "expected", "sizes"),
    [
        ("alternated", ["near", "far", "near", "far", "near"], [4, 4, 4, 3, 2]),
        ("in_sequence", ["near", "near", "near", "far", "far"], [4, 4, 2, 4, 3]),
    ],
)
def test_a_batch_comes_from_the_set_whose_turn_it_is(order: str, expected: list[str], sizes: list[int]) -> None:
    subject = several(order)
    batches = taken(subject, 10)
    assert sources(batches) == expected * 2
    assert [len(batch) for batch in batches] == sizes * 2
    assert subject.steps_per_epoch == 5
    assert [subject.samples_at(step) for step in range(10)] == sizes * 2


def test_mixed_sets_share_batches() -> None:
    batches = taken(several("mixed"), 5)
    assert "near+far" in sources(batches)
    assert [len(batch) for batch in batches] == [4, 4, 4, 4, 1]


def test_when_one_set_has_no_batches_left_the_others_go_on() -> None:
    batches = taken(TrainingOrder([2, 9, 3], 2, order="alternated"), 8)
    of_set = ["abc"[(batch[0] >= 2).long() + (batch[0] >= 11).long()] for batch in batches]
    assert "".join(of_set) == "abcbcbbb"


@pytest.mark.parametrize("order", ["mixed", "alternated", "in_sequence"])
def test_each_sample_comes_once_an_epoch_and_in_another_place_the_next(order: str) -> None:
    subject = several(order)
    batches = taken(subject, 2 * subject.steps_per_epoch)
    epochs = [torch.cat(batches[: subject.steps_per_epoch]), torch.cat(batches[subject.steps_per_epoch :])]
    for epoch in epochs:
        assert sorted(epoch.tolist()) == list(range(17))
    assert not torch.equal(*epochs)


@pytest.mark.parametrize(
    ("sizes", "order", "expected"),
    [
        ([22], "mixed", {5, 2}),
        ([20], "mixed", {5}),
        ([3, 19], "mixed", {5, 2}),
        ([3, 19], "alternated", {5, 3, 4}),
        ([10, 1], "in_sequence", {5, 1}),
    ],
)
def test_the_sizes_of_batches_are_known_beforehand(sizes: list[int], order: str, expected: set[int]) -> None:
    subject = TrainingOrder(sizes, 5, order=order)
    assert subject.batch_sizes == expected
    assert {subject.samples_at(step) for step in range(subject.steps_per_epoch)} == expected


@pytest.mark.parametrize(
    ("size", "expected"), [(0, []), (3, [[0, 1, 2]]), (4, [[0, 1, 2, 3]]), (5, [[0, 1, 2, 3], [4]])]
)
def test_evaluation_visits_each_once_in_order(size: int, expected: list[list[int]]) -> None:
    assert [batch.tolist() for batch in evaluation_order(range(size), 4)] == expected
    assert TrainingOrder([size], 4).steps_per_epoch == len(expected)


def test_evaluation_may_begin_anywhere() -> None:
    assert [batch.tolist() for batch in evaluation_order(range(7, 12), 3)] == [[7, 8, 9], [10, 11]]
