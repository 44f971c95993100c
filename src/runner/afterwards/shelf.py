"""Numbers of the archives beside each other on a shelf: the next free one, also when several ask at once."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runner import numbering

NAME = "archived_v"
HELD = f".{NAME}{numbering.NUMBER}"


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
    while True:
        number, made = numbering.claimed(shelf / HELD)
        if number not in numbering.numbers(shelf / HELD, hidden=False):
            return number, made
        made.rmdir()  # whoever had the number finished between the look and the claim
