"""Tokens and their ids."""

from __future__ import annotations

import pytest

from runner.data.vocabulary import BOS, EOS, PAD, SPECIAL, UNK, Vocabulary

SENTENCES = [["b", "a", "c", "a"], ["a", "b"], ["d"]]


def test_the_most_frequent_tokens_come_first_and_ties_in_alphabetical_order() -> None:
    assert Vocabulary.of(SENTENCES).tokens == (*SPECIAL, "a", "b", "c", "d")
    assert Vocabulary.of(SENTENCES, size=2).tokens == (*SPECIAL, "a", "b")
    assert [SPECIAL[number] for number in (PAD, BOS, EOS, UNK)] == ["<pad>", "<bos>", "<eos>", "<unk>"]


def test_sentences_are_ended_and_padded_and_come_back() -> None:
    vocabulary = Vocabulary.of(SENTENCES, size=2)
    ids = vocabulary.encode(["b", "z", "a"], length=6)
    assert ids == [5, UNK, 4, EOS, PAD, PAD]
    assert vocabulary.decode(ids) == ["b", "<unk>", "a"]
    assert vocabulary.decode([BOS, 4]) == ["a"]
    assert len(vocabulary) == 6


def test_a_special_token_in_a_text_is_unknown() -> None:
    """A text must not end a sentence, nor look like padding."""
    vocabulary = Vocabulary.of([["<eos>", "a"]])
    assert vocabulary.tokens == (*SPECIAL, "a")
    assert vocabulary.encode(["<eos>", "<pad>", "a"], length=4) == [UNK, UNK, 4, EOS]


def test_a_sentence_that_leaves_no_place_for_its_end_does_not_fit() -> None:
    with pytest.raises(ValueError, match="2 tokens and their end do not fit 2 places"):
        Vocabulary.of(SENTENCES).encode(["a", "b"], length=2)
