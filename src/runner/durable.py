"""What survives a crash of the machine, or is looked at while it is written. Free of torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def appearing(path: Path, *, mark: str = "new") -> Iterator[Path]:
    """A place beside ``path`` to write to: what lies there when this ends becomes ``path``, whole or not at all.

    It is not waited for until it is on the disk. ``mark``: of several who may write at once, each needs its own.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{mark}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> Path:
    """The text appears whole or not at all: someone may be looking, and others writing."""
    with appearing(path, mark=f"{os.getpid()}.new") as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def sync_folder(folder: Path) -> None:
    """Wait until the names in ``folder`` are on the disk: a rename is not, until then."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
