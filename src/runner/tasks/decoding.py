"""From a model that says what comes next to the sequences it means: the likeliest token each time, or a beam."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from runner.data.vocabulary import BOS, EOS, PAD

State = tuple[Tensor, ...]
"""What a model remembers of a source and of the tokens so far. Each tensor has a row for each sequence."""


@runtime_checkable
class SequenceModel(Protocol):
    """Token ids (B, S) of a source, and those of its target so far, to logits (B, V) of the target's next token."""

    def __call__(self, source: Tensor, inputs: Tensor) -> Tensor:
        """Logits (B, T, V): at each place those of the token after ``inputs`` (B, T) up to there."""
        ...

    def start(self, source: Tensor) -> State:
        """Before the first token."""
        ...

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Logits (B, V) of the token after ``tokens`` (B,), and the state with these."""
        ...


def greedy(model: SequenceModel, source: Tensor, *, length: int) -> Tensor:
    """Ids (B, length): the likeliest token each time, padding after the end."""
    state = model.start(source)
    tokens = source.new_full((len(source),), BOS)
    ended = torch.zeros_like(tokens, dtype=torch.bool)
    found = []
    for _ in range(length):  # to the last place, even where all have ended: to look would wait for the device
        logits, state = model.step(tokens, state)
        tokens = _possible(logits).argmax(1).masked_fill(ended, PAD)
        ended = ended | (tokens == EOS)
        found.append(tokens)
    return torch.stack(found, 1)


def beam(model: SequenceModel, source: Tensor, *, length: int, width: int, length_penalty: float) -> Tensor:
    """Ids (B, length): the best of ``width`` hypotheses that are followed at once, padding after the end.

    A hypothesis Y of source X is worth log P(Y | X) / ((5 + |Y|) / 6) ** ``length_penalty``, where |Y| counts the end:
    Wu et al., "Google's neural machine translation system" (2016), equation 14. At 0 that is its probability; the
    greater, the more long ones are worth. A hypothesis that has ended keeps its place in the beam until better ones
    take it. A ``width`` of 1 is ``greedy``.
    """
    batch = len(source)
    first = torch.arange(batch, device=source.device)[:, None] * width  # (B, 1): the first row of each beam
    state = tuple(part.repeat_interleave(width, 0) for part in model.start(source))
    found = source.new_full((batch, width, 0), PAD)
    tokens = source.new_full((batch, width), BOS)
    sums = torch.full((batch, width), -torch.inf, device=source.device)  # log probabilities
    sums[:, 0] = 0.0  # all rows of a beam are the same at first: only one may go on
    lengths, ended = torch.zeros_like(sums), torch.zeros_like(tokens, dtype=torch.bool)
    for _ in range(length):
        logits, state = model.step(tokens.flatten(), state)
        log_p = _possible(logits).log_softmax(1).view(batch, width, -1)  # (B, W, V)
        only_pad = torch.full_like(log_p, -torch.inf)
        only_pad[:, :, PAD] = 0.0
        extended = sums[:, :, None] + torch.where(ended[:, :, None], only_pad, log_p)
        worth = extended / _penalty(lengths + ~ended, length_penalty)[:, :, None]
        places = worth.flatten(1).topk(width).indices  # (B, W)
        parents, tokens = places // log_p.shape[2], places % log_p.shape[2]
        sums = extended.flatten(1).gather(1, places)
        lengths = (lengths + ~ended).gather(1, parents)
        ended = ended.gather(1, parents) | (tokens == EOS)
        found = torch.cat([found.gather(1, parents[:, :, None].expand_as(found)), tokens[:, :, None]], 2)
        state = tuple(part[(first + parents).flatten()] for part in state)
    best = (sums / _penalty(lengths, length_penalty)).argmax(1)
    return found[torch.arange(batch, device=source.device), best]


def _possible(logits: Tensor) -> Tensor:
    """Neither padding nor a beginning can come next. As float32."""
    forbidden = torch.zeros(logits.shape[1], dtype=torch.bool, device=logits.device)
    forbidden[PAD] = forbidden[BOS] = True
    return logits.float().masked_fill(forbidden, -torch.inf)


def _penalty(lengths: Tensor, exponent: float) -> Tensor:
    return ((5 + lengths) / 6) ** exponent
