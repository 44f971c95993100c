"""Made-up pairs of sequences of which the answer is known: the source, copied, reversed or sorted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.data.source import Arrays, Problem, SequenceSpec, Splits
from runner.data.sources.settings import number_problems, require_none
from runner.data.vocabulary import EOS, PAD, SPECIAL

if TYPE_CHECKING:
    from torch import Tensor

TRANSFORMS = ("copy", "reverse", "sort")
_LAST = 2**62  # sorts behind every token


@dataclass(frozen=True, kw_only=True)
class Sequences:
    """Random sequences of ``symbols`` kinds of tokens, all lengths equally often; ``transform`` makes the targets.

    No source is twice in the data, so that the parts do not overlap. ``seed`` is the data's own, not the run's.
    """

    transform: str = "copy"
    symbols: int = 10
    min_length: int = 1
    max_length: int = 10
    train_size: int = 8000
    valid_size: int = 500
    test_size: int = 500
    seed: int = 0

    @property
    def spec(self) -> SequenceSpec:
        vocabulary, length = self.symbols + len(SPECIAL), self.max_length + 1
        return SequenceSpec(vocabulary, vocabulary, length, length)

    def problems(self) -> list[Problem]:
        found = [
            *number_problems(1, symbols=self.symbols, min_length=self.min_length, max_length=self.max_length),
            *number_problems(1, train_size=self.train_size, valid_size=self.valid_size, test_size=self.test_size),
            *number_problems(0, seed=self.seed),
        ]
        if self.transform not in TRANSFORMS:
            text = f"must be one of {', '.join(TRANSFORMS)}, got {self.transform!r}"
            found.append(Problem("transform", self.transform, text, "set dataset.transform=copy"))
        if found:
            return found
        if self.min_length > self.max_length:
            text = f"must be at most max_length={self.max_length}, got {self.min_length}"
            found.append(Problem("min_length", self.min_length, text, "set dataset.min_length=1"))
        size = self.train_size + self.valid_size + self.test_size
        if 2 * size > self.symbols**self.max_length:  # drawing until none is twice has to come to an end
            text = f"allows {self.symbols}^{self.max_length} longest sequences, too few for {size} different ones"
            found.append(
                Problem("max_length", self.max_length, text, "set dataset.max_length higher, or fewer samples")
            )
        return found

    def load(self) -> Splits:
        """Raises ``ValueError`` for what ``problems`` lists."""
        import torch

        from runner.data.sources.in_memory import digest

        require_none(self.problems())
        source = self._sources()
        target = transformed(source, self.transform)
        sizes = {"train": self.train_size, "valid": self.valid_size, "test": self.test_size}
        pairs = zip(*(torch.split(part, list(sizes.values())) for part in (source, target)), strict=True)
        train, valid, test = (Arrays(*pair) for pair in pairs)
        notes = {f"{name}_size": size for name, size in sizes.items()} | {"seed": self.seed}
        sha256 = digest([source, target])
        return Splits(train, valid, test, spec=self.spec, mean=(), std=(), digest=sha256, notes=notes)

    def _sources(self) -> Tensor:
        """int64 (N, max_length + 1), all different, in random order."""
        import torch

        from runner.randomness import Randomness

        generator = Randomness(self.seed).generator("sequences")
        size = self.train_size + self.valid_size + self.test_size
        different = torch.empty(0, self.max_length + 1, dtype=torch.int64)
        while len(different) < size:
            lengths = torch.randint(self.min_length, self.max_length + 1, (size, 1), generator=generator)
            tokens = torch.randint(self.symbols, (size, self.max_length + 1), generator=generator) + len(SPECIAL)
            places = torch.arange(self.max_length + 1)
            tokens = torch.where(places < lengths, tokens, torch.where(places == lengths, EOS, PAD))
            different = torch.unique(torch.cat([different, tokens]), dim=0)
        return different[torch.randperm(len(different), generator=generator)[:size]]


def transformed(source: Tensor, transform: str) -> Tensor:
    """What becomes of token ids (N, S), each row ended and padded; the end and the padding stay where they are."""
    import torch

    if transform == "copy":
        return source.clone()
    words = source >= len(SPECIAL)
    if transform == "sort":
        ordered = source.masked_fill(~words, _LAST).sort(1).values
        return torch.where(words, ordered, source)
    lengths, places = words.sum(1, keepdim=True), torch.arange(source.shape[1])
    return source.gather(1, torch.where(words, lengths - 1 - places, places))
