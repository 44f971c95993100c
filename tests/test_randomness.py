"""Draws are a function of (seed, purpose, counters)."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from runner.randomness import Randomness


def test_keys_differ_in_everything_and_stay_in_range() -> None:
    keys = [
        Randomness(seed).key(purpose, *counters)
        for seed in (0, 1, -1)
        for purpose in ("order", "augment")
        for counters in ((), (0,), (1,), (0, 1), (1, 0), (11,), (1, 1))
    ]
    assert len(set(keys)) == len(keys)
    assert all(0 <= key < 2**63 for key in keys)


def test_keys_are_the_same_on_every_machine() -> None:
    """Recorded: a change here changes every result that anyone has."""
    assert Randomness(0).key("order", 3) == 6418495567838562434


def test_generators_start_anew_each_time() -> None:
    draws = [torch.rand(3, generator=Randomness(5).generator("x", 2)) for _ in range(2)]
    assert torch.equal(*draws)


def test_another_purpose_does_not_shift_the_draws() -> None:
    randomness = Randomness(5)
    first = torch.rand(3, generator=randomness.generator("x", 0))
    torch.rand(1000, generator=randomness.generator("y", 0))
    assert torch.equal(first, torch.rand(3, generator=randomness.generator("x", 0)))


@pytest.mark.parametrize("seed", [0, 2**40, -3])
def test_the_process_is_seeded_as_a_whole(seed: int) -> None:
    def draw() -> tuple[float, float, float]:
        Randomness(seed).seed_process()
        return random.random(), float(np.random.random()), torch.rand(1).item()

    assert draw() == draw()
