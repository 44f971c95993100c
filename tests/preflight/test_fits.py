"""The table of what goes with what."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.config.conf_dir import conf_dir
from runner.preflight import fits

PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"
FITS = fits.read()


def options(group: str) -> set[str]:
    return {path.stem for path in (conf_dir() / group).glob("*.yaml")}


def test_the_page_is_the_table() -> None:
    assert PAGE.read_text() == fits.text(FITS), "python -m runner.preflight.fits > docs/compatibility.md"


def test_every_option_has_a_place() -> None:
    assert {task for task in FITS if " of " not in task} == options("task")
    for group in fits.GROUPS:
        placed = {option for row in FITS.values() for option in row[group]}
        assert placed == options(group), "python -m runner.preflight.fits > docs/compatibility.md"


@pytest.mark.slow
def test_the_table_is_what_preflight_finds() -> None:
    """Of one task of each kind of rows; the whole takes minutes."""
    assert fits._row("seq2seq") == FITS["seq2seq"]
    assert fits._row("aae") == FITS["aae"]


def test_a_row_is_told_with_the_settings_that_an_option_needs() -> None:
    lines = list(fits.lines_of("aae"))
    assert lines[:2] == ["task=aae goes with", "  model=aae"]
    assert "bce (dataset.mean=[0.0] dataset.std=[1.0])" in lines[3]
    assert "mse" in lines[3]
    assert sum(line.startswith("task=") for line in fits.lines_of("segmentation")) == 2
    assert list(fits.lines_of("my_own")) == []


@pytest.mark.parametrize(
    ("line", "settings"),
    [
        ("loss=x: will not do; set loss.ignore_index=0", ["loss.ignore_index=0"]),
        ("a; b; set model.norm=none dataset.mean=[0.0]", ["model.norm=none", "dataset.mean=[0.0]"]),
        ("another option is another row; set loss=bce", []),
        ("; set loss=cross_entropy, nll or focal with loss.ignore_index=0", []),
        ("; set trainer.batch_size=<n>", []),
        ("; take it out", []),
    ],
)
def test_only_settings_are_mended(line: str, settings: list[str]) -> None:
    assert fits._remedies(line) == settings
