"""Whether a run may use its folder: no run is ever overwritten. Free of torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from runner import numbering
from runner.config.build import flat
from runner.problem import Problem, Refused
from runner.results.manifest import read_json

SHOWN = 8


def taken(folder: Path, cfg: DictConfig) -> Iterator[Problem]:
    """A folder that holds a run already."""
    saved = folder / ".hydra" / "config.yaml"
    if saved.is_file():
        yield _taken(folder, saved, cfg)
    elif (folder / "manifest.json").is_file():
        yield Problem("hydra.run.dir", folder, "holds a run", "choose another folder, or remove this one")


def unusable(folder: Path, key: str) -> Iterator[Problem]:
    """A folder that is none, or in which nothing can be written."""
    nearest = folder
    while not nearest.exists():
        nearest = nearest.parent
    if not nearest.is_dir():
        text = "is a file" if nearest == folder else f"lies below {nearest}, which is a file"
        yield Problem(key, folder, text, "choose another folder")
    elif not os.access(nearest, os.W_OK | os.X_OK):
        yield Problem(key, folder, f"cannot be written: no permission in {nearest}", "choose another folder")


def make_folder(folder: Path, key: str) -> Path:
    """``folder``; of one that ends in ``{n}`` the next, which is this process's alone.

    Raises ``Refused`` when it cannot be made: asking for permission beforehand does not tell everything.
    """
    try:
        return numbering.made(folder)
    except OSError as error:
        raise Refused([f"{key}={folder}: cannot be made: {error.strerror}; choose another folder"]) from None


def _taken(folder: Path, saved: Path, cfg: DictConfig) -> Problem:
    remedy = "choose another folder, or remove this one"
    theirs = load(saved)
    if theirs is None:
        return Problem("hydra.run.dir", folder, "holds a run whose configuration cannot be read", remedy)
    differing = differences(theirs, cfg)
    if differing:
        return Problem(
            "hydra.run.dir", folder, f"holds a run with another configuration: {'; '.join(differing)}", remedy
        )
    state = read_json(folder / "status.json").get("state", "unfinished")
    return Problem("hydra.run.dir", folder, f"already holds this run ({state})", remedy)


def load(file: Path) -> DictConfig | None:
    """A saved configuration; None when the file does not hold one."""
    try:
        content = OmegaConf.load(file)
    except (OSError, ValueError, YAMLError):
        return None
    return content if isinstance(content, DictConfig) and content else None


def differences(theirs: DictConfig, ours: DictConfig) -> list[str]:
    """``key: theirs → ours`` for each leaf in which two configurations differ; a long list is cut, and says so."""
    left, right = flat(theirs), flat(ours)
    lines = [
        f"{key}: {left.get(key, 'absent')} there, {right.get(key, 'absent')} here"
        for key in dict.fromkeys([*left, *right])
        if left.get(key, "absent") != right.get(key, "absent")
    ]
    return lines if len(lines) <= SHOWN else [*lines[:SHOWN], f"and {len(lines) - SHOWN} more"]
