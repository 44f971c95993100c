"""A user's own tensors and DataLoaders."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from runner.batch import tensors
from runner.data.data import TrainingData
from runner.data.loaders import LoaderData
from runner.randomness import Randomness

SEED = Randomness(0)
X, Y = torch.arange(20.0).view(10, 2), torch.arange(10)


class Noisy(Dataset[dict[str, Any]]):
    """Nested examples that draw from two default generators."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"pair": (torch.tensor(index), torch.rand(2)), "noise": random.random(), "name": f"sample {index}"}


def flat(batches: list[Any]) -> list[list[Tensor]]:
    return [list(tensors(batch)) for batch in batches]


def same(one: list[Any], other: list[Any]) -> bool:
    return all(
        torch.equal(a, b)
        for left, right in zip(flat(one), flat(other), strict=True)
        for a, b in zip(left, right, strict=True)
    )


def noisy(**settings: Any) -> TrainingData:
    return LoaderData.of(DataLoader(Noisy(), batch_size=4, shuffle=True, **settings), randomness=SEED)


def take(subject: TrainingData, count: int, first_step: int = 0) -> list[Any]:
    return list(itertools.islice(subject.train(first_step), count))


def test_tensors_are_kept_as_they_are() -> None:
    bytes_ = torch.arange(20, dtype=torch.uint8).view(10, 2)
    subject = LoaderData.of((bytes_, Y), valid=(X, Y), batch_size=4, eval_batch_size=5, randomness=SEED)
    batches = take(subject, 3)
    assert subject.steps_per_epoch == 3
    assert batches[0][0].dtype == torch.uint8
    order = torch.cat([batch[1] for batch in batches])
    assert torch.equal(torch.cat([batch[0] for batch in batches]), bytes_[order])
    assert sorted(order.tolist()) == list(range(10))
    assert torch.equal(torch.cat([batch[0] for batch in subject.part("valid")]), X)
    assert [len(batch[0]) for batch in subject.part("valid")] == [5, 5]
    assert same(take(subject, 7)[4:], take(subject, 3, 4))


def test_a_part_that_was_not_given_is_empty() -> None:
    subject = LoaderData.of((X, Y), batch_size=4, randomness=SEED)
    assert (subject.size("train"), subject.size("test"), list(subject.part("test"))) == (10, 0, [])


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"num_workers": 1}, {"generator": torch.Generator()}])
def test_a_loader_resumes_anywhere_and_repeats(settings: dict[str, Any]) -> None:
    whole = take(noisy(**settings), 7)
    assert same(whole, take(noisy(**settings), 7))
    for step in (2, 3, 5):
        torch.rand(3)  # what the run draws meanwhile makes no difference
        assert same(whole[step:], take(noisy(**settings), 7 - step, step))


def test_a_loaders_epochs_differ_and_hold_each_sample_once() -> None:
    batches = take(noisy(), 6)
    epochs = [torch.cat([b["pair"][0] for b in part]).tolist() for part in (batches[:3], batches[3:])]
    assert epochs[0] != epochs[1]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(10))


def test_nested_batches_keep_their_form() -> None:
    batch = take(noisy(), 1)[0]
    assert set(batch) == {"pair", "noise", "name"}
    assert isinstance(batch["name"], list)


def test_the_runs_own_generators_are_not_touched() -> None:
    states = torch.get_rng_state(), random.getstate()
    take(noisy(), 5)
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == random.getstate()


def test_a_loader_evaluates_the_same_each_time() -> None:
    subject = LoaderData.of((X, Y), valid=DataLoader(Noisy(), batch_size=4), batch_size=5, randomness=SEED)
    assert subject.size("valid") == 10
    assert same(list(subject.part("valid")), list(subject.part("valid")))


class Endless(IterableDataset[Tensor]):
    def __iter__(self) -> Any:
        yield from X


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^batch_size=11 is larger than the training part \(10 samples\)"):
        LoaderData.of((X, Y), batch_size=11, randomness=SEED)
    with pytest.raises(ValueError, match="must know its length"):
        LoaderData.of(DataLoader(Endless()), randomness=SEED)
    with pytest.raises(ValueError, match="at least one batch, got none from 10 samples"):
        LoaderData.of(DataLoader(TensorDataset(X), batch_size=11, drop_last=True), randomness=SEED)
    with pytest.raises(ValueError, match="same length"):
        LoaderData.of((X, Y[:3]), randomness=SEED)
