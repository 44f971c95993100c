"""Numbers of the folders beside each other on a shelf: the next free one, also when several ask at once."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = "archived_v"
NUMBERED = re.compile(rf"\.?{NAME}(\d+)(?:_|$)")


@contextmanager
def numbered(shelf: Path) -> Iterator[tuple[int, Path]]:
    """The next number, and an empty hidden folder that holds it until it is renamed to begin with ``NAME`` and that.

    No two get the same number, in whatever processes. What goes wrong inside takes the folder away.
    """
    shelf.mkdir(parents=True, exist_ok=True)
    number, made = _claimed(shelf)
    try:
        yield number, made
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(made)
        raise


def _claimed(shelf: Path) -> tuple[int, Path]:
    number = 0
    while True:
        number = max([number, *_numbers(shelf)]) + 1
        made = shelf / f".{NAME}{number}"
        try:
            made.mkdir()
        except FileExistsError:
            continue
        if number not in _numbers(shelf, hidden=False):
            return number, made
        made.rmdir()  # whoever had the number finished between the look and the claim


def _numbers(shelf: Path, *, hidden: bool = True) -> list[int]:
    names = [entry.name for entry in shelf.iterdir() if hidden or not entry.name.startswith(".")]
    return [int(found[1]) for found in map(NUMBERED.match, names) if found]
