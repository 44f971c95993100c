"""Pairs of sentences from a file of lines: source, tab, target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from runner.data.source import Arrays, Problem, SequenceSpec, Splits
from runner.data.sources.settings import fraction_problems, number_problems
from runner.data.vocabulary import UNK, Vocabulary

if TYPE_CHECKING:
    from torch import Tensor

LEVELS = ("word", "character")
SHOWN = 5  # broken lines that are listed one by one

Pair = tuple[Sequence[str], Sequence[str]]  # tokens of the source, tokens of the target


@dataclass(frozen=True, kw_only=True)
class TextPairs:
    """``file`` holds a pair a line, UTF-8: the source, a tab, the target. What follows a second tab is not read.

    Tokens are what stands between spaces, or single characters (``level``). Pairs with more tokens than
    ``max_source_length`` or ``max_target_length`` are left out. Of all sources ``test_fraction`` is held out, then
    ``valid_fraction`` of the rest: all pairs of one source are in the same part, so that the parts do not overlap. The
    vocabularies are those of the training part, at most ``vocabulary_size`` tokens each; others are unknown. They are
    kept in the run's manifest.
    """

    file: str
    level: str = "word"
    lowercase: bool = False
    max_source_length: int = 20
    max_target_length: int = 20
    vocabulary_size: int = 10000
    test_fraction: float = 0.1
    valid_fraction: float = 0.1
    split_seed: int = 0

    @property
    def path(self) -> Path:
        return Path(self.file).expanduser()

    @property
    def spec(self) -> SequenceSpec:
        """That of the vocabularies: the file is read."""
        source, target = self.vocabularies
        return SequenceSpec(len(source), len(target), self.max_source_length + 1, self.max_target_length + 1)

    def problems(self) -> list[Problem]:
        found = [
            *number_problems(1, max_source_length=self.max_source_length, max_target_length=self.max_target_length),
            *number_problems(1, vocabulary_size=self.vocabulary_size),
            *number_problems(0, split_seed=self.split_seed),
            *fraction_problems(test_fraction=self.test_fraction, valid_fraction=self.valid_fraction),
        ]
        if self.level not in LEVELS:
            text = f"must be one of {', '.join(LEVELS)}, got {self.level!r}"
            found.append(Problem("level", self.level, text, "set dataset.level=word"))
        if not self.path.is_file():
            text = "is not a file"
            found.append(Problem("file", self.file, text, "set dataset.file to a file of lines: source, tab, target"))
        return found or self._broken()

    def _broken(self) -> list[Problem]:
        """Lines without a pair; and a file of which too little is left."""
        try:
            lines = self._lines()
        except UnicodeDecodeError as error:
            return [Problem("file", self.file, f"is not UTF-8 text: {error}", "save it as UTF-8")]
        wrong = [number for number, line in lines.items() if not _whole(line)]
        if wrong:
            shown = ", ".join(map(str, wrong[:SHOWN])) + (f" and {len(wrong) - SHOWN} more" if wrong[SHOWN:] else "")
            text = f"has lines without a source, a tab and a target: {shown}"
            return [Problem("file", self.file, text, "mend or delete these lines")]
        sources = len({source for source, _ in self.pairs})
        if sources < 3:
            text = f"has {sources} different sources within the maximum lengths, but three parts need one each"
            return [
                Problem("file", self.file, text, "set dataset.max_source_length and dataset.max_target_length higher")
            ]
        return []

    def load(self) -> Splits:
        from runner.data.sources.in_memory import digest

        arrays = {name: Arrays(*self._encoded(pairs)) for name, pairs in self.parts.items()}
        source, target = self.vocabularies
        tensors = [tensor for part in arrays.values() for tensor in part.tensors]
        unknown = [int((tensor == UNK).sum()) for tensor in arrays["test"].tensors]
        notes = {
            **{f"{name}_size": len(part) for name, part in arrays.items()},
            "left_out": len(self._lines()) - len(self.pairs),
            "split_seed": self.split_seed,
            "unknown_in_test": {"source": unknown[0], "target": unknown[1]},
            "source_vocabulary": list(source.tokens),
            "target_vocabulary": list(target.tokens),
        }
        return Splits(
            arrays["train"],
            arrays["valid"],
            arrays["test"],
            spec=self.spec,
            mean=(),
            std=(),
            digest=digest(tensors),
            notes=notes,
        )

    @cached_property
    def pairs(self) -> list[Pair]:
        """All pairs within the maximum lengths, in the order of the file."""
        split = [[self._tokens(side) for side in line.split("\t")[:2]] for line in self._lines().values()]
        return [
            (source, target)
            for source, target in split
            if len(source) <= self.max_source_length and len(target) <= self.max_target_length
        ]

    @cached_property
    def parts(self) -> dict[str, list[Pair]]:
        import torch

        from runner.data.splits import hold_out

        sources = list(dict.fromkeys(source for source, _ in self.pairs))
        same_class = torch.zeros(len(sources), dtype=torch.int64)
        rest, test = hold_out(same_class, self.test_fraction, seed=self.split_seed, purpose="test")
        train, valid = hold_out(same_class[rest], self.valid_fraction, seed=self.split_seed, purpose="valid")
        part_of = {}
        for name, chosen in (("train", rest[train]), ("valid", rest[valid]), ("test", test)):
            part_of.update({sources[place]: name for place in chosen.tolist()})
        parts: dict[str, list[Pair]] = {"train": [], "valid": [], "test": []}
        for pair in self.pairs:
            parts[part_of[pair[0]]].append(pair)
        return parts

    @cached_property
    def vocabularies(self) -> tuple[Vocabulary, Vocabulary]:
        """Those of the training part: of the sources and of the targets."""
        sources, targets = zip(*self.parts["train"], strict=True)
        return Vocabulary.of(sources, size=self.vocabulary_size), Vocabulary.of(targets, size=self.vocabulary_size)

    def _encoded(self, pairs: Sequence[Pair]) -> tuple[Tensor, Tensor]:
        """int64 (N, max_source_length + 1) and (N, max_target_length + 1)."""
        import torch

        (source, target), spec = self.vocabularies, self.spec
        return (
            torch.tensor([source.encode(sentence, length=spec.source_length) for sentence, _ in pairs]),
            torch.tensor([target.encode(sentence, length=spec.target_length) for _, sentence in pairs]),
        )

    def _lines(self) -> dict[int, str]:
        """Those that are not empty, by their number."""
        lines = enumerate(self.path.read_text(encoding="utf-8").split("\n"), 1)
        return {number: line for number, line in lines if line.strip()}

    def _tokens(self, sentence: str) -> tuple[str, ...]:
        sentence = sentence.strip().lower() if self.lowercase else sentence.strip()
        return tuple(sentence.split()) if self.level == "word" else tuple(sentence)


def _whole(line: str) -> bool:
    sides = line.split("\t")
    return len(sides) >= 2 and all(side.strip() for side in sides[:2])
