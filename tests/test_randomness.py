"""Draws are a function of (seed, purpose, counters)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor

from runner.losses.terms import total
from runner.metrics import Metrics
from runner.randomness import ProcessGenerators, Randomness
from runner.session import Session
from runner.tasks import Classification


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


def draw_from_the_process() -> tuple[float, float, float, float]:
    return random.random(), random.gauss(0, 1), float(np.random.random()), float(np.random.normal())


@pytest.mark.parametrize("drawn", [0, 1, 700])
def test_the_generators_of_the_process_go_on_where_a_file_says(tmp_path: Path, drawn: int) -> None:
    """Also between the two normal numbers that are always made together."""
    Randomness(1).seed_process()
    for _ in range(drawn):
        draw_from_the_process()
    torch.save(ProcessGenerators().state_dict(), tmp_path / "state.pt")
    expected = [draw_from_the_process() for _ in range(3)]
    Randomness(2).seed_process()
    assert [draw_from_the_process() for _ in range(3)] != expected
    ProcessGenerators().load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert [draw_from_the_process() for _ in range(3)] == expected


class Capricious(Classification):
    """Draws from Python's and numpy's generators in its losses and in its scores, as a user's task may."""

    def losses(self, batch: tuple[Tensor, Tensor]) -> Iterator[tuple[str, Tensor]]:
        for name, loss in super().losses(batch):
            yield name, total(loss) * (1 + random.random() + abs(random.gauss(0, 1)) + abs(float(np.random.normal())))

    def scores(self, batch: tuple[Tensor, Tensor], metrics: Metrics) -> None:
        random.random()
        np.random.random()
        super().scores(batch, metrics)


def capricious(folder: Path | None = None, until_steps: int | None = None, *, forgetful: bool = False) -> Session:
    """A training of such a task, or a part of one."""
    Randomness(0).seed_process()
    plain = tiny.task_of("classification")
    assert isinstance(plain, Classification)
    made = tiny.session(task=Capricious(plain.model, plain.loss), folder=folder)
    if forgetful:
        Randomness(0).seed_process()
    made.plan = made.plan.until(until_steps)
    made.train()
    return made


@pytest.mark.parametrize("stops", [[1, 7], [5], [13]])
def test_a_task_that_draws_from_the_process_resumes_exactly(tmp_path: Path, stops: list[int]) -> None:
    whole = capricious()
    for stop in stops:
        capricious(tmp_path, stop)
    assert tiny.differing(whole, capricious(tmp_path)) == []


def test_which_can_fail(tmp_path: Path) -> None:
    whole = capricious()
    capricious(tmp_path, 7)
    assert tiny.differing(whole, capricious(tmp_path, forgetful=True))
