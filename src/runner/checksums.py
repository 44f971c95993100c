"""SHA-256 of the files of an archive, in the format that ``sha256sum -c`` reads. Free of torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

NAME = "SHA256SUMS"


def of_file(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def text_of(folder: Path, files: Iterable[Path]) -> str:
    """A line for each of ``files``, by its path below ``folder``."""
    lines = [f"{of_file(file)}  {file.relative_to(folder).as_posix()}\n" for file in files]
    return "".join(sorted(lines, key=lambda line: line.partition("  ")[2]))


def known(folder: Path) -> dict[str, str]:
    """The digests by path below ``folder``; none where nobody noted any."""
    sums = folder / NAME
    lines = sums.read_text(encoding="utf-8").splitlines() if sums.is_file() else []
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def damaged(folder: Path, only: Iterable[Path] | None = None) -> list[str]:
    """The noted files, or ``only`` those among them, that are gone or not what was noted: ``x is damaged``."""
    chosen = None if only is None else {file.resolve() for file in only}
    found = []
    for name, digest in known(folder).items():
        file = folder / name
        if chosen is not None and file.resolve() not in chosen:
            continue
        if not file.is_file():
            found.append(f"{file} is gone")
        elif of_file(file) != digest:
            found.append(f"{file} is damaged: it is not what {NAME} says")
    return found
