"""Sequence to sequence by configuration: the recipe, text from a file, and what is said of things that do not fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hydra import compose
from omegaconf import DictConfig

from runner.preflight import Job, check
from runner.run import run

pytestmark = pytest.mark.usefixtures("shipped")

SMALL = ("dataset.train_size=8", "dataset.valid_size=4", "dataset.test_size=4")
SHORT = ("trainer.steps=2", "trainer.batch_size=4", "trainer.workers=0")


def composed(*overrides: str) -> DictConfig:
    return compose("config", overrides=list(overrides))


def trained(cfg: DictConfig, folder: Path) -> dict[str, float]:
    assert check([Job("job", cfg, folder)]).lines() == []
    return run(cfg, folder, name="job")


@pytest.mark.slow
def test_text_of_a_file_is_learnt_and_its_vocabularies_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "pairs.tsv"
    file.write_text("".join(f"w{n} a\tv{n} b\n" for n in range(20)))
    (folder := tmp_path / "run").mkdir()
    logger = "logger=[csv,images,tensorboard]"
    scores = trained(composed("task=seq2seq", "dataset=text_pairs", f"dataset.file={file}", *SHORT, logger), folder)
    assert {"test/loss", "test/token_accuracy", "test/exact_match", "test/bleu"} == set(scores)
    data = json.loads((folder / "manifest.json").read_text())["data"]
    assert data["source_vocabulary"][:5] == ["<pad>", "<bos>", "<eos>", "<unk>", "a"]
    assert len(data["target_vocabulary"]) == 4 + 1 + data["train_size"]
    assert "\nFLOPs: " in (folder / "summary.txt").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "lines"),
    [
        (
            ("augmentation=shift",),
            ["augmentation=shift: CropFlip changes images, but the data are sequences of tokens; set augm"],
        ),
        (("model=lenet",), ["model=lenet: LeNet needs in_channels, image_size, which the data do not tell"]),
        (
            ("dataset=digits",),
            ["Seq2Seq learns from sequences of tokens, but the data are images; set dataset=<one of them>"],
        ),
        (
            ("trainer.micro_batches=2", "metrics=[accuracy]"),
            [
                "trainer.micro_batches=2: cannot split a loss in which samples count differently",
                "metrics.accuracy: measures nothing that Seq2Seq gives",
            ],
        ),
    ],
)
def test_what_does_not_fit_is_said_before_anything_starts(
    tmp_path: Path, overrides: tuple[str, ...], lines: list[str]
) -> None:
    data = () if "dataset=digits" in overrides else SMALL
    cfg = composed("task=seq2seq", *data, *SHORT, "~trainer.best.exact_match", *overrides)
    chosen = dict(override.split("=", 1) for override in overrides)
    found = "\n".join(check([Job("job", cfg, tmp_path / "run", choices=chosen)]).lines())
    assert [line for line in lines if line not in found] == []


@pytest.mark.slow
def test_the_recipe_learns_to_copy(tmp_path: Path) -> None:
    """Shorter sequences than the recipe's; what the full one reaches stands in its first lines."""
    small = ("dataset.symbols=6", "dataset.max_length=5", "dataset.train_size=2000", "dataset.valid_size=100")
    more = ("dataset.test_size=300", "model.hidden_dim=64", "trainer.epochs=8", "logger=[]", "task.beam_width=2")
    assert trained(composed("experiment=copy_seq2seq", *small, *more), tmp_path)["test/exact_match"] >= 0.97


@pytest.mark.slow
def test_a_transformer_learns_to_sort(tmp_path: Path) -> None:
    small = ("dataset.symbols=6", "dataset.max_length=5", "dataset.train_size=2000", "dataset.valid_size=100")
    more = ("dataset.test_size=300", "dataset.transform=sort", "trainer.epochs=8", "logger=[]", "model.dropout=0.0")
    cfg = composed("experiment=copy_seq2seq", "model=transformer_seq2seq", *small, *more)
    assert trained(cfg, tmp_path)["test/exact_match"] >= 0.97
