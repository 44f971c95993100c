"""Models that read one sequence and write another: steps, padding, and what a place may see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from runner.data.vocabulary import BOS, EOS, PAD
from runner.models import AttentionSeq2Seq, TransformerSeq2Seq
from runner.models.attention_seq2seq import attended, turned
from runner.models.transformer_seq2seq import sinusoids

SIZES: dict[str, Any] = {"source_vocabulary_size": 9, "target_vocabulary_size": 8}
LENGTHS = {"source_length": 8, "target_length": 8}
SOURCE = torch.tensor([[4, 5, 6, EOS, PAD], [7, EOS, PAD, PAD, PAD], [5, 5, 4, 8, EOS]])
INPUTS = torch.tensor([[BOS, 6, 5, 4], [BOS, 7, EOS, PAD], [BOS, 7, 4, 5]])


def attention(kind: str) -> nn.Module:
    return AttentionSeq2Seq(**SIZES, attention=kind, embedding_dim=4, hidden_dim=6, dropout=0.3)


MODELS: dict[str, Callable[[], Any]] = {
    "bahdanau": lambda: attention("bahdanau"),
    "luong": lambda: attention("luong"),
    "transformer": lambda: TransformerSeq2Seq(**SIZES, **LENGTHS, dim=8, heads=2, layers=2, feedforward_dim=12),
}
each = pytest.mark.parametrize("kind", MODELS)


def model_of(kind: str) -> Any:
    torch.manual_seed(0)
    return MODELS[kind]().eval()


@each
def test_steps_give_what_all_at_once_gives(kind: str) -> None:
    model = model_of(kind)
    state, found = model.start(SOURCE), []
    for tokens in INPUTS.unbind(1):
        logits, state = model.step(tokens, state)
        found.append(logits)
    whole = model(SOURCE, INPUTS)
    assert whole.shape == (3, 4, 8)
    torch.testing.assert_close(torch.stack(found, 1), whole)
    assert all(len(part) == 3 for part in state)


@each
def test_padding_of_the_source_changes_nothing(kind: str) -> None:
    model = model_of(kind)
    wider = torch.nn.functional.pad(SOURCE, (0, 3), value=PAD)
    torch.testing.assert_close(model(wider, INPUTS), model(SOURCE, INPUTS))


@each
def test_a_place_sees_the_source_and_what_stands_before_it(kind: str) -> None:
    model = model_of(kind)
    other = INPUTS.clone()
    other[:, 2] = 6
    one, two = model(SOURCE, INPUTS), model(SOURCE, other)
    assert torch.equal(one[:, :2], two[:, :2])
    assert not torch.equal(one[:, 2:], two[:, 2:])
    turned_round = SOURCE.clone()
    turned_round[0, :2] = SOURCE[0, :2].flip(0)
    assert not torch.allclose(model(turned_round, INPUTS)[0, 0], one[0, 0], rtol=1e-3)


@each
def test_everything_is_trained_and_dropout_draws(kind: str) -> None:
    model = model_of(kind).train()
    torch.autograd.backward(model(SOURCE, INPUTS).square().mean())
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []
    assert not torch.equal(model(SOURCE, INPUTS), model(SOURCE, INPUTS))


@each
def test_nothing_is_read_on_the_host(kind: str) -> None:
    with torch.device("meta"):
        logits = model_of(kind)(SOURCE.to("meta"), INPUTS.to("meta"))
    assert logits.shape == (3, 4, 8)


@each
def test_padding_alone_gives_numbers(kind: str) -> None:
    """Preflight tries zeros."""
    assert model_of(kind).train()(torch.zeros_like(SOURCE), INPUTS).isfinite().all()


def test_each_transformer_layer_begins_with_weights_of_its_own() -> None:
    first, second = model_of("transformer").decoder.layers
    assert not torch.equal(first.linear1.weight, second.linear1.weight)


def test_turning_leaves_padding_where_it_is() -> None:
    rows = torch.tensor([[1.0, 2.0, 3.0, 0.0], [1.0, 0.0, 0.0, 0.0]])[:, :, None]
    found = turned(rows, torch.tensor([3, 1]))[:, :, 0]
    assert found.tolist() == [[3.0, 2.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]]


def test_a_context_is_the_mean_by_the_softmax_of_the_scores() -> None:
    annotations = torch.tensor([[[1.0], [3.0], [100.0]]])
    mask = torch.tensor([[True, True, False]])
    scores = torch.tensor([[0.0, 0.0, 50.0]])
    assert attended(scores, annotations, mask).item() == 2.0


def test_encodings_are_those_of_the_paper() -> None:
    found = sinusoids(5, 6)
    for place in range(5):
        for pair in range(3):
            angle = torch.tensor(place / 10000 ** (2 * pair / 6))
            torch.testing.assert_close(found[place, 2 * pair : 2 * pair + 2], torch.stack([angle.sin(), angle.cos()]))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: AttentionSeq2Seq(**SIZES, attention="dot"), "must be one of bahdanau, luong, got 'dot'"),
        (lambda: AttentionSeq2Seq(**SIZES, hidden_dim=0), r"model\.hidden_dim must be at least 1"),
        (lambda: AttentionSeq2Seq(**SIZES, dropout=1.0), r"model\.dropout must lie in \[0, 1\)"),
        (lambda: TransformerSeq2Seq(**SIZES, **LENGTHS, layers=0), r"model\.layers must be at least 1"),
        (lambda: TransformerSeq2Seq(**SIZES, **LENGTHS, dim=10, heads=4), "a multiple of heads=4, got 10"),
        (lambda: TransformerSeq2Seq(**SIZES, **LENGTHS, dropout=-0.1), r"model\.dropout must lie in"),
    ],
)
def test_settings_that_make_no_model_are_refused(made: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made()
