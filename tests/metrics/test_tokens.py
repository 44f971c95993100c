"""Metrics of decoded sequences: BLEU against torchmetrics', the others against what can be counted."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchmetrics.functional.text import bleu_score

from runner.data.vocabulary import EOS, PAD
from runner.metrics import Metrics, bleu, exact_match, token_accuracy


def ended(rows: list[list[int]], width: int = 12) -> Tensor:
    return torch.tensor([[*row, EOS, *[PAD] * (width - len(row) - 1)] for row in rows])


def random_rows(seed: int, count: int = 30) -> list[list[int]]:
    """Of two words: n-grams come several times in a sentence."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(0, 12, (count,), generator=generator).tolist()
    return [torch.randint(4, 6, (length,), generator=generator).tolist() for length in lengths]


def theirs(decoded: list[list[int]], target: list[list[int]], n_gram: int) -> float:
    texts = [[" ".join(map(str, row)) for row in rows] for rows in (decoded, target)]
    return float(bleu_score(texts[0], [[text] for text in texts[1]], n_gram=n_gram))


def ours(decoded: Tensor, target: Tensor, n_gram: int = 4) -> float:
    """Fed in batches of 7."""
    metrics = Metrics({"bleu": bleu(n_gram=n_gram)})
    with torch.inference_mode():
        for batch in zip(torch.split(decoded, 7), torch.split(target, 7), strict=True):
            metrics.update(*batch)
    return metrics.compute()["bleu"]


@pytest.mark.parametrize("n_gram", [1, 2, 4])
@pytest.mark.parametrize("cut", [12, 5])
def test_bleu_equals_torchmetrics(n_gram: int, cut: int) -> None:
    """Where what was decoded is as long as the target, and where it is cut short."""
    target = random_rows(0)
    decoded = [row[:cut] for row in random_rows(1)]
    expected = theirs(decoded, target, n_gram)
    assert 0 < expected < 1
    assert ours(ended(decoded), ended(target), n_gram) == pytest.approx(expected, rel=1e-5)


def test_bleu_of_what_is_right_is_one_and_of_what_shares_nothing_zero() -> None:
    target = ended([[4, 5, 6, 7, 8]])
    assert ours(target, target) == pytest.approx(1.0)
    assert ours(ended([[8, 7, 6, 5, 4]]), target) == 0.0
    assert ours(ended([[]]), target) == 0.0
    assert ours(ended([[]]), ended([[]])) == 0.0


def test_a_word_counts_at_most_as_often_as_the_target_has_it() -> None:
    """The paper's example: the the the the the the the; the cat is on the mat."""
    the, cat, is_, on, mat = range(4, 9)
    assert ours(ended([[the] * 7]), ended([[the, cat, is_, on, the, mat]]), 1) == pytest.approx(2 / 7)


def test_a_sequence_counts_when_it_is_right_to_its_end() -> None:
    decoded = ended([[4, 5, 6], [4, 5], [4, 5, 6]], 5)
    target = ended([[4, 5, 6], [4, 5, 6], [4, 7, 6, 4]], 5)
    metrics = Metrics({"exact": exact_match(), "tokens": token_accuracy()})
    metrics.update(decoded, target)
    # Right are 4 of 4 tokens, 2 of 4 (the end is not there yet), 2 of 5.
    assert metrics.compute() == {"exact": pytest.approx(1 / 3), "tokens": pytest.approx(8 / 13)}


@pytest.mark.parametrize("make", [bleu, exact_match, token_accuracy])
def test_logits_and_labels_are_refused(make: type) -> None:
    with pytest.raises(ValueError, match="sequences of token ids"):
        make().update(torch.rand(3, 4), torch.zeros(3, dtype=torch.int64))


def test_an_n_gram_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"metrics\.bleu\.n_gram must be at least 1, got 0"):
        bleu(n_gram=0)
