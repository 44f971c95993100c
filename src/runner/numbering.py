"""Folders with numbers beside each other: the next free one, also when several ask at once. Free of torch."""

from __future__ import annotations

import re
from pathlib import Path

NUMBER = "{n}"  # what stands for it at the end of a path: logs/digits/lenet/version_{n}


def is_numbered(folder: Path) -> bool:
    return NUMBER in folder.name


def foreseen(folder: Path) -> Path:
    """``folder`` with the number that ``made`` would give it now; nothing is made."""
    return _with(folder, _following(folder)) if is_numbered(folder) else folder


def made(folder: Path) -> Path:
    """``folder``, made if it is not there; a numbered one as ``claimed``."""
    if is_numbered(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        return claimed(folder)[1]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def claimed(folder: Path) -> tuple[int, Path]:
    """The next number, and ``folder`` with it, made and empty. No two get the same number, in whatever processes.

    A claim is a folder made, which the system grants once. The number follows the largest that is there.
    """
    number = 0
    while True:
        number = _following(folder, number)
        made = _with(folder, number)
        try:
            made.mkdir()
        except FileExistsError:
            continue
        return number, made


def numbers(folder: Path, *, hidden: bool = True) -> list[int]:
    """Those of the entries beside ``folder`` whose names begin as its own, with a dot before it or without.

    ``hidden=False`` leaves out those with a dot.
    """
    front = folder.name.partition(NUMBER)[0].lstrip(".")
    dot = r"\.?" if hidden else ""
    begins = re.compile(rf"{dot}{re.escape(front)}(\d+)")
    names = [entry.name for entry in folder.parent.iterdir()] if folder.parent.is_dir() else []
    return [int(found[1]) for found in map(begins.match, names) if found]


def _following(folder: Path, number: int = 0) -> int:
    return max([number, *numbers(folder)]) + 1


def _with(folder: Path, number: int) -> Path:
    return folder.with_name(folder.name.replace(NUMBER, str(number)))
