"""The tokens of a language and their ids. Free of torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

PAD, BOS, EOS, UNK = range(4)
SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")
"""What stands after the end, before the beginning, at the end, and for a token that is not in the vocabulary."""


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by id, the ``SPECIAL`` ones first."""

    tokens: tuple[str, ...]

    @classmethod
    def of(cls, sentences: Iterable[Sequence[str]], *, size: int | None = None) -> Vocabulary:
        """Of all tokens the ``size`` most frequent ones, the special ones not counted; ties in alphabetical order."""
        counts = Counter(token for sentence in sentences for token in sentence)
        known = sorted((token for token in counts if token not in SPECIAL), key=lambda token: (-counts[token], token))
        return cls((*SPECIAL, *known[:size]))

    @cached_property
    def ids(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self.tokens)}

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, sentence: Sequence[str], *, length: int) -> list[int]:
        """Exactly ``length`` ids: those of the tokens, the end, and padding. Raises ``ValueError`` if they do not fit.

        A special token that stands in a sentence is unknown, as any that the vocabulary lacks.
        """
        if len(sentence) >= length:
            raise ValueError(f"{len(sentence)} tokens and their end do not fit {length} places")
        ids = [UNK if token in SPECIAL else self.ids.get(token, UNK) for token in sentence]
        return [*ids, EOS, *[PAD] * (length - len(ids) - 1)]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The tokens before the end."""
        tokens = []
        for number in ids:
            if number == EOS:
                break
            if number not in (PAD, BOS):
                tokens.append(self.tokens[number])
        return tokens
