"""The git checkouts whose code a run uses, as they stood when this process first looked."""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import IO, Any

DIFF_LIMIT_BYTES = 2**20
GIT_LIMIT_S = 10
UNTRACKED_SHOWN = 100

STATUS_FORM = ("--porcelain=v2", "--branch", "--untracked-files=normal", "--no-renames", "-z")
DIFF_FORM = (
    *("--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--src-prefix=a/", "--dst-prefix=b/"),
    *("--unified=3", "--inter-hunk-context=0", "--diff-algorithm=myers", "--full-index", "--submodule=short"),
)
"""One form for all users, whatever their settings: the same changes have the same digest."""


def seen(folder: Path, *, package: Path | None) -> dict[str, Any]:
    """``git``: an entry for the checkout that holds ``package``, and for that of the current folder if it is another.

    What differs from the commit of a dirty one is saved in ``folder`` as ``code.diff`` (a second one as
    ``code.2.diff``), whole up to 1 MiB. ``note`` says what git could not tell, and why. Each checkout is looked at
    once a process, when its code has just been loaded.
    """
    found = [_checkout(root) for root in _roots(package)]
    notes = [checkout.note for checkout in found if checkout.note] if found else ["no git repository"]
    entries = [_entry(checkout, folder) for checkout in found if checkout.facts]
    return {"git": entries, **({"note": "; ".join(notes)} if notes else {})}


@dataclass(frozen=True)
class _Checkout:
    """A git checkout as it stood when this process first looked."""

    facts: Mapping[str, Any] = field(default_factory=dict)  # none when git could not tell
    diff: bytes | None = None  # up to DIFF_LIMIT_BYTES of it; None for a clean one
    note: str = ""


def _roots(package: Path | None) -> list[Path]:
    starts = [package] if package else []
    with suppress(FileNotFoundError):  # the current folder may have been removed
        starts.append(Path.cwd().resolve())
    roots = [next((at for at in (start, *start.parents) if (at / ".git").exists()), None) for start in starts]
    return list(dict.fromkeys(root for root in roots if root))


@functools.cache
def _checkout(root: Path) -> _Checkout:
    try:
        with _git(root, "status", *STATUS_FORM) as told:
            facts = _status(told.read().decode(errors="replace").split("\0"))
        diff = None
        if facts["dirty"] and facts["commit"]:
            with _git(root, "diff", "HEAD", *DIFF_FORM) as told:
                found, diff = _diff(told)
                facts |= found
        return _Checkout({"name": root.name, **facts}, diff)
    except subprocess.CalledProcessError as error:
        return _Checkout(note=f"{root.name}: {_first_line(error.stderr) or error}")
    except subprocess.TimeoutExpired:
        return _Checkout(note=f"{root.name}: git took more than {GIT_LIMIT_S} s")
    except OSError as error:
        return _Checkout(note=f"{root.name}: git cannot be run: {error}")


def _git(root: Path, *arguments: str) -> IO[bytes]:
    """A temporary file with what git answers in ``root`` itself, wherever GIT_DIR points, and runs no hook for it."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("GIT_") or k.startswith("GIT_CONFIG_")}
    own = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_CEILING_DIRECTORIES": str(root.parent)}
    command = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(root), *arguments]
    answer = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it; a diff may not fit into memory
    try:
        subprocess.run(
            command,
            env=inherited | own,
            stdin=subprocess.DEVNULL,
            stdout=answer,
            stderr=subprocess.PIPE,
            timeout=GIT_LIMIT_S,
            check=True,
        )
    except BaseException:
        answer.close()
        raise
    answer.seek(0)
    return answer


def _status(lines: Sequence[str]) -> dict[str, Any]:
    """The facts in ``git status --porcelain=v2 --branch``: https://git-scm.com/docs/git-status#_porcelain_format_version_2"""
    header = dict(line.removeprefix("# ").split(" ", 1) for line in lines if line.startswith("# "))
    commit, branch = header.get("branch.oid"), header.get("branch.head")
    untracked = [line.removeprefix("? ") for line in lines if line.startswith("? ")]
    facts = {
        "commit": commit if commit != "(initial)" else None,
        "branch": branch if branch != "(detached)" else None,
        "dirty": any(line.startswith(("1 ", "u ")) for line in lines),
        "diff": None,
        "diff_sha256": None,
        "untracked": untracked[:UNTRACKED_SHOWN],
    }
    left_out = len(untracked) - UNTRACKED_SHOWN
    return facts | ({"untracked_left_out": left_out} if left_out > 0 else {})


def _diff(told: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    """The digest of a whole diff, and as much of it as is kept."""
    facts: dict[str, Any] = {"diff_sha256": hashlib.file_digest(told, "sha256").hexdigest()}  # type: ignore[arg-type]
    size = told.tell()
    told.seek(0)
    if size <= DIFF_LIMIT_BYTES:
        return facts, told.read()
    last = f"# cut here: the whole has {size} bytes, more than the {DIFF_LIMIT_BYTES} that are kept\n".encode()
    whole_lines, _, _ = told.read(DIFF_LIMIT_BYTES - len(last) - 1).rpartition(b"\n")
    return facts | {"diff_truncated": True}, whole_lines + b"\n" + last


def _first_line(text: bytes) -> str:
    return text.decode(errors="replace").strip().partition("\n")[0].removeprefix("fatal: ")


def _entry(checkout: _Checkout, folder: Path) -> dict[str, Any]:
    if checkout.diff is None:
        return dict(checkout.facts)
    return {**checkout.facts, "diff": _saved(checkout.diff, folder)}


def _saved(diff: bytes, folder: Path) -> str:
    """The name of the file in ``folder`` that holds ``diff``; one with another content is never replaced."""
    for number in count(1):
        file = folder / ("code.diff" if number == 1 else f"code.{number}.diff")
        if not file.exists():
            file.write_bytes(diff)
            return file.name
        if file.read_bytes() == diff:
            return file.name
    raise AssertionError("there is always a next number")
