"""Holding out: exact by class, disjoint, stable."""

from __future__ import annotations

import pytest
import torch

from runner.data.splits import hold_out, largest_remainder

LABELS = torch.tensor([0] * 50 + [1] * 33 + [2] * 17)[torch.randperm(100, generator=torch.Generator().manual_seed(7))]


def test_each_class_gives_its_share() -> None:
    kept, held = hold_out(LABELS, 0.1, seed=0)
    assert LABELS[held].bincount().tolist() == [5, 3, 2]  # quotas 5, 3.3, 1.7
    assert sorted(kept.tolist() + held.tolist()) == list(range(100))
    assert kept.tolist() == sorted(kept.tolist())


@pytest.mark.parametrize(
    ("counts", "fraction", "expected"),
    [([5, 5, 5], 1 / 3, [2, 2, 1]), ([1, 1], 0.5, [1, 0]), ([10, 3], 0.25, [2, 1]), ([4], 0.5, [2])],
)
def test_largest_remainder(counts: list[int], fraction: float, expected: list[int]) -> None:
    assert largest_remainder(torch.tensor(counts), fraction).tolist() == expected


def test_the_split_is_a_function_of_seed_and_purpose_only() -> None:
    state = torch.get_rng_state()
    held = hold_out(LABELS, 0.1, seed=0)[1]
    assert torch.equal(held, hold_out(LABELS, 0.1, seed=0)[1])
    assert not torch.equal(held, hold_out(LABELS, 0.1, seed=1)[1])
    assert not torch.equal(held, hold_out(LABELS, 0.1, seed=0, purpose="test")[1])
    assert torch.equal(state, torch.get_rng_state())


def test_the_split_never_changes() -> None:
    """A published number: whoever changes the method changes every result that was ever compared."""
    assert hold_out(torch.arange(20) % 2, 0.2, seed=0)[1].tolist() == [0, 5, 14, 17]


@pytest.mark.parametrize("fraction", [0.001, 0.999])
def test_an_empty_part_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match=r"leaves a part empty; set dataset\.valid_fraction"):
        hold_out(LABELS, fraction, seed=0)
