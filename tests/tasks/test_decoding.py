"""Greedy and beam decoding, against a search through all that could be meant."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from runner.data.vocabulary import BOS, EOS, PAD
from runner.tasks.decoding import State, beam, greedy

VOCABULARY, LENGTH = 7, 4
SOURCE = torch.zeros(5, 1, dtype=torch.int64)


class Table:
    """What comes next depends on the last token, on the place and on the row of the batch."""

    def __init__(self, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.logits = torch.randn(len(SOURCE), LENGTH, VOCABULARY, VOCABULARY, generator=generator)

    def __call__(self, source: Tensor, inputs: Tensor) -> Tensor:
        raise NotImplementedError

    def start(self, source: Tensor) -> State:
        return torch.arange(len(source)), torch.zeros(len(source), dtype=torch.int64)

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        rows, place = state
        return self.logits[rows, place, tokens], (rows, place + 1)

    def log_p(self, row: int, tokens: tuple[int, ...]) -> float:
        """The log probability of ``tokens`` where neither padding nor a beginning can come."""
        total, last = 0.0, BOS
        for place, token in enumerate(tokens):
            logits = self.logits[row, place, last].clone()
            logits[[PAD, BOS]] = -torch.inf
            total, last = total + float(logits.log_softmax(0)[token]), token
        return total


def hypotheses() -> list[tuple[int, ...]]:
    """All that can be decoded: what has ended, and what has not at the last place."""
    words = [token for token in range(VOCABULARY) if token not in (PAD, BOS, EOS)]
    ended = [(*body, EOS) for size in range(LENGTH) for body in itertools.product(words, repeat=size)]
    return [*ended, *itertools.product(words, repeat=LENGTH)]


def padded(tokens: tuple[int, ...]) -> list[int]:
    return [*tokens, *[PAD] * (LENGTH - len(tokens))]


def test_greedy_takes_the_likeliest_token_until_the_end() -> None:
    table = Table()
    found = greedy(table, SOURCE, length=LENGTH)
    for row, tokens in enumerate(found.tolist()):
        ended, last = False, BOS
        for place, token in enumerate(tokens):
            logits = table.logits[row, place, last].clone()
            logits[[PAD, BOS]] = -torch.inf
            assert token == (PAD if ended else int(logits.argmax()))
            ended, last = ended or token == EOS, token
    assert (found == EOS).any()
    assert not (found[:, -1] == PAD).all()


@pytest.mark.parametrize("seed", range(3))
def test_a_beam_of_one_is_greedy(seed: int) -> None:
    found = beam(Table(seed), SOURCE, length=LENGTH, width=1, length_penalty=0.6)
    assert torch.equal(found, greedy(Table(seed), SOURCE, length=LENGTH))


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 3.0])
def test_a_beam_that_holds_everything_finds_the_best_of_all(length_penalty: float) -> None:
    table, everything = Table(), hypotheses()
    found = beam(table, SOURCE, length=LENGTH, width=len(everything), length_penalty=length_penalty)

    def worth(row: int, tokens: tuple[int, ...]) -> float:
        return table.log_p(row, tokens) / float(((5 + len(tokens)) / 6) ** length_penalty)

    for row in range(len(SOURCE)):
        best = max(everything, key=lambda tokens: worth(row, tokens))
        assert found[row].tolist() == padded(best)


def test_a_length_penalty_prefers_longer_ones() -> None:
    width = len(hypotheses())
    short, long = (beam(Table(), SOURCE, length=LENGTH, width=width, length_penalty=p) for p in (0.0, 9.0))
    assert (long != PAD).sum() > (short != PAD).sum()


def test_a_wider_beam_finds_what_greedy_misses() -> None:
    table = Table(1)
    sums = [
        sum(
            table.log_p(row, tuple(token for token in tokens if token != PAD))
            for row, tokens in enumerate(found.tolist())
        )
        for found in (
            greedy(table, SOURCE, length=LENGTH),
            beam(table, SOURCE, length=LENGTH, width=4, length_penalty=0.0),
        )
    ]
    assert sums[1] > sums[0]
