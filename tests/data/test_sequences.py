"""Sequences of which the answer is known, and pairs of sentences from a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from runner.data.augment import CropFlip
from runner.data.data import Data
from runner.data.source import Arrays, Splits
from runner.data.sources import Sequences, TextPairs
from runner.data.vocabulary import EOS, PAD, SPECIAL, UNK, Vocabulary
from runner.randomness import Randomness

PARTS = ("train", "valid", "test")
SMALL = Sequences(symbols=3, max_length=5, train_size=40, valid_size=10, test_size=10)


def tensors(splits: Splits, part: str) -> tuple[Tensor, Tensor]:
    examples = getattr(splits, part)
    assert isinstance(examples, Arrays)
    source, target = examples.tensors
    return source, target


def words(row: Tensor) -> list[int]:
    """What stands before the end; after it there is only padding."""
    ids = row.tolist()
    end = ids.index(EOS)
    assert set(ids[end + 1 :]) <= {PAD}
    assert all(len(SPECIAL) <= number for number in ids[:end])
    return ids[:end]


@pytest.mark.parametrize(
    ("transform", "expected"), [("copy", list), ("reverse", lambda row: row[::-1]), ("sort", sorted)]
)
def test_the_target_is_what_the_transform_says(transform: str, expected: Any) -> None:
    splits = replace(SMALL, transform=transform).load()
    pairs = [pair for part in PARTS for pair in zip(*tensors(splits, part), strict=True)]
    assert len(pairs) == 60
    for source, target in pairs:
        assert words(target) == expected(words(source))
    assert {len(words(source)) for source, _ in pairs} == {1, 2, 3, 4, 5}


def test_no_source_is_twice_and_the_same_seed_gives_the_same_parts() -> None:
    splits = SMALL.load()
    sources = torch.cat([tensors(splits, part)[0] for part in PARTS])
    assert len(torch.unique(sources, dim=0)) == len(sources) == 60
    assert [len(getattr(splits, part)) for part in PARTS] == [40, 10, 10]
    assert splits.digest == SMALL.load().digest != replace(SMALL, seed=1).load().digest


def test_the_spec_is_that_of_the_tensors() -> None:
    splits = SMALL.load()
    source, _ = tensors(splits, "train")
    assert SMALL.spec == splits.spec
    assert SMALL.spec.facts() == {
        **{"source_vocabulary_size": 7, "target_vocabulary_size": 7, "source_length": 6, "target_length": 6},
        "num_classes": 7,
    }
    assert (source.shape, source.dtype, int(source.max())) == ((40, 6), torch.int64, 6)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"transform": "double"}, "transform"),
        ({"symbols": 0}, "symbols"),
        ({"min_length": 6}, "min_length"),
        ({"max_length": 4}, "max_length"),  # 3^4 longest ones for 60 samples
        ({"seed": -1}, "seed"),
    ],
)
def test_settings_that_give_no_sequences_are_problems(change: dict[str, Any], key: str) -> None:
    assert SMALL.problems() == []
    source = replace(SMALL, **change)
    assert [problem.key for problem in source.problems()] == [key]
    with pytest.raises(ValueError, match=rf"dataset\.{key} "):
        source.load()


def test_token_ids_reach_the_model_untouched_and_no_augmentation_touches_them() -> None:
    splits = SMALL.load()
    settings: dict[str, Any] = {"device": torch.device("cpu"), "batch_size": 4, "randomness": Randomness(0)}
    data = Data(splits, channels_last=True, **settings)
    source, target = next(data.part("valid"))
    assert torch.equal(source, tensors(splits, "valid")[0][:4])
    assert (source.dtype, target.dtype) == (torch.int64, torch.int64)
    (trained_on, _), known = next(data.train()), tensors(splits, "train")[0]
    assert all((row == known).all(1).any() for row in trained_on)
    with pytest.raises(ValueError, match="CropFlip changes images, but the data are sequences of tokens"):
        Data(splits, augmentation=CropFlip(), **settings)


# --- text

LINES = [
    f"the {noun} {verb}\tdas {noun} {verb}t" for noun in ("Kind", "Haus", "Bild", "Tier") for verb in ("ruh", "lieg")
]


def pairs_file(folder: Path, lines: list[str]) -> str:
    path = folder / "pairs.tsv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def text(folder: Path, lines: list[str] = LINES, **settings: Any) -> TextPairs:
    given = {"test_fraction": 0.25, "valid_fraction": 0.34, "max_source_length": 4, "max_target_length": 4} | settings
    return TextPairs(file=pairs_file(folder, lines), **given)


def sentences(splits: Splits, part: str, level: str = "word") -> list[tuple[str, str]]:
    vocabularies = [Vocabulary(tuple(splits.notes[f"{side}_vocabulary"])) for side in ("source", "target")]
    joint = " " if level == "word" else ""
    return [
        (joint.join(vocabularies[0].decode(source.tolist())), joint.join(vocabularies[1].decode(target.tolist())))
        for source, target in zip(*tensors(splits, part), strict=True)
    ]


def test_pairs_come_back_through_the_vocabularies_that_the_run_keeps(tmp_path: Path) -> None:
    source = text(tmp_path)
    splits = source.load()
    assert source.problems() == []
    known = {tuple(line.split("\t")) for line in LINES}
    assert set(sentences(splits, "train")) <= known
    assert [len(getattr(splits, part)) for part in PARTS] == [4, 2, 2]
    assert splits.notes["train_size"] == 4
    assert splits.digest == text(tmp_path).load().digest != text(tmp_path, split_seed=1).load().digest


def test_the_vocabularies_are_those_of_the_training_part(tmp_path: Path) -> None:
    """Here every word stands in one pair only: all of the other parts is unknown."""
    splits = text(tmp_path, [f"a{n}\tb{n}" for n in range(8)]).load()
    trained_on = {word for source, _ in sentences(splits, "train") for word in source.split()}
    assert set(splits.notes["source_vocabulary"]) == {*SPECIAL, *trained_on}
    assert sentences(splits, "test") == [("<unk>", "<unk>")] * 2
    assert splits.notes["unknown_in_test"] == {"source": 2, "target": 2}
    assert (tensors(splits, "test")[0][:, 0] == UNK).all()


def test_pairs_of_one_source_stay_together(tmp_path: Path) -> None:
    splits = text(tmp_path, [f"s {n % 6}\tt {n}" for n in range(24)]).load()
    sources = [{source for source, _ in sentences(splits, part)} for part in PARTS]
    assert sum(len(getattr(splits, part)) for part in PARTS) == 24
    rows = [{tuple(row.tolist()) for row in tensors(splits, part)[0]} for part in PARTS]
    assert len(sources[0]) == len(rows[0]) == 3
    assert len(splits.train) == 12


def test_characters_cases_and_lengths(tmp_path: Path) -> None:
    lines = [*LINES, "a sentence that is too long\tx", "x\tone two three four five"]
    splits = text(tmp_path, lines).load()
    assert splits.notes["left_out"] == 2
    lowered = text(tmp_path, lines, level="character", lowercase=True, max_source_length=30, max_target_length=30)
    splits = lowered.load()
    assert splits.notes["left_out"] == 0
    known = {tuple(side.lower() for side in line.split("\t")) for line in lines}
    assert set(sentences(splits, "train", "character")) <= known
    assert lowered.spec == splits.spec
    assert tensors(splits, "train")[0].shape[1] == 31


def test_rare_words_are_unknown_beyond_the_vocabularys_size(tmp_path: Path) -> None:
    splits = text(tmp_path, vocabulary_size=1).load()
    assert splits.notes["source_vocabulary"] == [*SPECIAL, "the"]
    assert {source for source, _ in sentences(splits, "train")} == {"the <unk> <unk>"}


@pytest.mark.parametrize(
    ("settings", "key", "message"),
    [
        ({"file": "absent.tsv"}, "file", "is not a file"),
        ({"level": "byte"}, "level", "must be one of word, character"),
        ({"max_source_length": 1}, "file", "has 0 different sources within the maximum lengths"),
        ({"test_fraction": 1.5}, "test_fraction", "must lie between 0 and 1"),
        ({"vocabulary_size": 0}, "vocabulary_size", "must be a whole number"),
    ],
)
def test_what_would_stop_loading_is_a_problem(tmp_path: Path, settings: dict[str, Any], key: str, message: str) -> None:
    (problem,) = replace(text(tmp_path), **settings).problems()
    assert problem.key == key
    assert message in problem.text


def test_lines_without_a_pair_are_named_by_their_number(tmp_path: Path) -> None:
    (problem,) = text(tmp_path, [*LINES, "", "alone", "a\t ", *["x"] * 5]).problems()
    assert problem.text.endswith("has lines without a source, a tab and a target: 10, 11, 12, 13, 14 and 2 more")


def test_what_is_no_text_is_told(tmp_path: Path) -> None:
    source = text(tmp_path)
    source.path.write_bytes(b"\xff\xfe\t\x00")
    (problem,) = source.problems()
    assert "is not UTF-8 text" in problem.text
