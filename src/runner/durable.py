"""What survives a crash of the machine, or is looked at while it is written. Free of torch."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, text: str) -> Path:
    """The text appears whole or not at all: someone may be looking. It is not waited for until it is on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
    return path


def sync_folder(folder: Path) -> None:
    """Wait until the names in ``folder`` are on the disk: a rename is not, until then."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
