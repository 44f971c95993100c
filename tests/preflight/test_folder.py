"""Whether a run may use its folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from runner.preflight.folder import SHOWN, differences, taken, unusable
from runner.problem import Problem

CFG = OmegaConf.create({"seed": 0, "model": {"hidden": [4], "dropout": None}})


def folder_problems(folder: Path, cfg: DictConfig) -> list[Problem]:
    return [*taken(folder, cfg), *unusable(folder, "hydra.run.dir")]


def saved(folder: Path, content: str, state: str | None = None) -> Path:
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text(content)
    if state:
        (folder / "status.json").write_text(f'{{"state": "{state}"}}')
    return folder


@pytest.mark.parametrize("depth", ["", "new", "new/deep/deeper"])
def test_a_new_or_empty_folder_is_free(tmp_path: Path, depth: str) -> None:
    assert list(folder_problems(tmp_path / depth, CFG)) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("state", "told"), [("completed", "completed"), ("failed", "failed"), (None, "unfinished")])
def test_the_same_run_is_there(tmp_path: Path, state: str | None, told: str) -> None:
    (problem,) = folder_problems(saved(tmp_path, OmegaConf.to_yaml(CFG), state), CFG)
    assert problem.text == f"already holds this run ({told})"


def test_another_run_is_there_and_its_differences_are_told(tmp_path: Path) -> None:
    theirs = "seed: 1\nmodel: {hidden: [4], dropout: null, width: 3}\n"
    (problem,) = folder_problems(saved(tmp_path, theirs), CFG)
    assert problem.text.endswith(": seed: 1 there, 0 here; model.width: 3 there, absent here")


def test_none_is_not_the_same_as_absent() -> None:
    assert differences(OmegaConf.create({"a": None, "b": 1}), OmegaConf.create({"b": 1})) == [
        "a: None there, absent here"
    ]


def test_a_long_list_is_cut_and_says_so() -> None:
    theirs = OmegaConf.create({f"k{number}": 1 for number in range(SHOWN + 4)})
    lines = differences(theirs, OmegaConf.create({"k0": 1}))
    assert len(lines) == SHOWN + 1
    assert lines[-1] == "and 3 more"


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    (problem,) = folder_problems(tmp_path / "run", CFG)
    assert problem.text == "is a file"


@pytest.mark.parametrize("mode", [0o644, 0o755])
def test_nothing_can_be_written_below_a_file(tmp_path: Path, mode: int) -> None:
    """Root included, and whatever the file's mode."""
    (tmp_path / "file").write_text("")
    (tmp_path / "file").chmod(mode)
    (problem,) = folder_problems(tmp_path / "file" / "run", CFG)
    assert "file" in problem.text
    assert problem.remedy == "choose another folder"


@pytest.mark.parametrize("content", ["", ": : ["])
def test_a_configuration_that_cannot_be_read_is_told(tmp_path: Path, content: str) -> None:
    (problem,) = folder_problems(saved(tmp_path, content), CFG)
    assert problem.remedy.startswith("choose another folder")


def test_a_run_that_kept_only_its_manifest_is_not_overwritten(tmp_path: Path) -> None:
    """``hydra.output_subdir=null`` keeps no configuration."""
    (tmp_path / "manifest.json").write_text('{"status": "completed"}')
    (problem,) = folder_problems(tmp_path, CFG)
    assert "run" in problem.text
