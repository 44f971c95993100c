"""Training samples for what is made from data before training begins."""

from __future__ import annotations

from dataclasses import replace

import pytest
import tiny
import torch
from torch import Tensor

from runner.data import sample
from runner.data.sample import spread
from runner.data.source import Arrays, Spec


def images_at(places: list[int]) -> Tensor:
    splits = tiny.splits()
    return torch.stack([(splits.train[place][0].float() / 255 - 0.5) / 0.25 for place in places])


def test_all_of_few_samples_are_shown_as_they_are_trained_on() -> None:
    images, labels = spread(tiny.splits(), 100)
    torch.testing.assert_close(images, images_at(list(range(tiny.SAMPLES))))
    assert labels.tolist() == [int(tiny.splits().train[place][1]) for place in range(tiny.SAMPLES)]


def test_of_many_some_are_shown_over_the_whole_length() -> None:
    images, _ = spread(tiny.splits(), 4)
    torch.testing.assert_close(images, images_at([0, 5, 11, 16]))


def test_large_ones_are_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "VALUES", 3 * tiny.PIXELS**2)
    assert len(spread(tiny.splits(), 10)[0]) == 3
    monkeypatch.setattr(sample, "VALUES", 1)
    assert len(spread(tiny.splits(), 10)[0]) == 1


class Drawing:
    """Examples that draw while they are read."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        return torch.randint(0, 256, (1, 2, 2), dtype=torch.uint8), torch.tensor(index)


def test_what_examples_draw_is_the_same_each_time_and_leaves_the_generators() -> None:
    splits = replace(tiny.splits(), train=Drawing(), valid=Arrays(torch.zeros(1)), spec=Spec(1, 2, 2, 3))
    torch.manual_seed(7)
    state = torch.get_rng_state()
    one = spread(splits, 3)[0]
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(8)
    assert torch.equal(spread(splits, 3)[0], one)
