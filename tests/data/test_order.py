"""The order of examples: a permutation an epoch, a function of (seed, epoch), entered anywhere."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from runner.data.order import evaluation_order, steps_per_epoch, training_order
from runner.randomness import Randomness


def first(count: int, *, seed: int = 0, first_step: int = 0) -> list[Tensor]:
    return list(itertools.islice(training_order(10, 4, randomness=Randomness(seed), first_step=first_step), count))


def test_each_epoch_is_a_permutation_whose_last_batch_is_short() -> None:
    batches = first(6)
    assert [len(batch) for batch in batches] == [4, 4, 2, 4, 4, 2]
    for epoch in (batches[:3], batches[3:]):
        assert sorted(torch.cat(epoch).tolist()) == list(range(10))


def test_epochs_and_seeds_differ_and_a_seed_repeats() -> None:
    epochs, other, again = torch.cat(first(6)).view(2, 10), torch.cat(first(3, seed=1)), torch.cat(first(3))
    assert not torch.equal(epochs[0], epochs[1])
    assert not torch.equal(epochs[0], other)
    assert torch.equal(epochs[0], again)


@pytest.mark.parametrize("step", range(8))
def test_any_step_can_be_entered(step: int) -> None:
    whole, tail = first(12), first(12 - step, first_step=step)
    assert all(torch.equal(a, b) for a, b in zip(whole[step:], tail, strict=True))


def test_a_far_step_is_reached_without_replay() -> None:
    assert len(first(1, first_step=3 * 10**12)[0]) == 4


@pytest.mark.parametrize(
    ("size", "expected"), [(0, []), (3, [[0, 1, 2]]), (4, [[0, 1, 2, 3]]), (5, [[0, 1, 2, 3], [4]])]
)
def test_evaluation_visits_each_once_in_order(size: int, expected: list[list[int]]) -> None:
    assert [batch.tolist() for batch in evaluation_order(size, 4)] == expected
    assert steps_per_epoch(size, 4) == len(expected)
