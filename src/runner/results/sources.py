"""The source of a module as a run had it, as far as it can still be found. Free of torch."""

from __future__ import annotations

import difflib
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

SHOWN_LINES = 40  # of one file
GIT_TIMEOUT_S = 10


def changed_lines(name: str, before: str, after: str) -> list[str]:
    """The difference of two sources, A's and B's; a long one is cut, and says so."""
    marked = difflib.unified_diff(before.splitlines(), after.splitlines(), f"A/{name}", f"B/{name}", lineterm="", n=2)
    lines = list(marked)
    if len(lines) <= SHOWN_LINES:
        return lines
    return [*lines[:SHOWN_LINES], f"and {len(lines) - SHOWN_LINES} more lines"]


def source_of(name: str, sha256: str, *, checkouts: Sequence[tuple[str, Path | None]] = ()) -> str | None:
    """The text of module ``name`` that has this digest; None when it is nowhere any more.

    It is looked for in the file as it is now, and in the commits of ``checkouts``, each with the file of uncommitted
    changes that the run saved.
    """
    file = module_file(name)
    if file is None:
        return None
    for content in _versions(file, checkouts):
        if hashlib.sha256(content).hexdigest() == sha256:
            return content.decode(errors="replace")
    return None


def module_file(name: str) -> Path | None:
    """The file of a module. Nothing is imported to find it: that could take seconds, and run code."""
    loaded = getattr(sys.modules.get(name), "__file__", None)
    if loaded is not None:
        return Path(loaded)
    stem = name.replace(".", "/")
    candidates = (Path(folder or ".") / end for folder in sys.path for end in (f"{stem}.py", f"{stem}/__init__.py"))
    return next((file.resolve() for file in candidates if file.is_file()), None)


def _versions(file: Path, checkouts: Sequence[tuple[str, Path | None]]) -> Iterator[bytes]:
    if file.is_file():
        yield file.read_bytes()
    for commit, diff in checkouts:
        committed = git(file.parent, "cat-file", "blob", f"{commit}:./{file.name}")
        if committed is not None:
            yield committed
        changed = None if diff is None else _patched(file, committed, diff)
        if changed is not None:
            yield changed


def _patched(file: Path, committed: bytes | None, diff: Path) -> bytes | None:
    """``committed`` with the part of ``diff`` that is about ``file``, made in a folder that goes away again."""
    prefix = git(file.parent, "rev-parse", "--show-prefix")
    if prefix is None:
        return None
    path = prefix.decode().strip() + file.name
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, path)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if committed is not None:
            copy.write_bytes(committed)
        applied = git(Path(folder), "apply", f"--include={path}", str(diff.resolve()))
        return copy.read_bytes() if applied is not None and copy.is_file() else None


def git(folder: Path, *arguments: str) -> bytes | None:
    """What git answers in ``folder``; None where it does not know, or is not there."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", *arguments],
            cwd=folder,
            env={**inherited, "LC_ALL": "C", "GIT_CEILING_DIRECTORIES": tempfile.gettempdir()},
            capture_output=True,
            timeout=GIT_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
