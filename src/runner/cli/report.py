"""``python -m runner report SWEEP...``: seeds as one result, as a table here and in files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from runner.afterwards.weights import RECORDS, refuse_damaged
from runner.cli import argv as arguments
from runner.problem import Refused

USAGE = "python -m runner report SWEEP... [--out DIR] [--no-pictures]"
MARKS = ("sweep.json", "manifest.json")


def main(argv: Sequence[str]) -> int:
    """Print the report of all runs in the folders, and write it into the first of them, or into ``--out``.

    Raises ``Refused`` for what is no folder with runs, and for a folder that cannot be written.
    """
    from runner.results.report import report

    out, words = arguments.option(argv, "--out")
    draw = "--no-pictures" not in words
    flags = [word for word in words if word.startswith("-") and word != "--no-pictures"]
    folders = [Path(word).expanduser() for word in words if not word.startswith("-")]
    problems = [f"{flag}: there is no such flag; {USAGE}" for flag in flags]
    if not folders:
        problems.append(f"report needs the folder of a sweep, got none; {USAGE}")
    problems += [problem for folder in dict.fromkeys(folders) for problem in _no_runs(folder)]
    if problems:
        raise Refused(problems)
    for run in [*folders, *(file.parent for folder in folders for file in folder.glob("*/manifest.json"))]:
        refuse_damaged(run, RECORDS)
    target = folders[0] if out is None else Path(out).expanduser()
    try:
        made = report(folders, out=target, draw=draw)
    except OSError as error:
        text = f"{error.filename or target}: cannot be written: {error.strerror or error}"
        raise Refused([f"{text}; --out=<folder> writes the report elsewhere"]) from error
    made.show()
    page, *others = sorted(made.files, key=lambda file: file.suffix != ".html")
    print(f"\nreport: {page} (also {', '.join(file.relative_to(target).as_posix() for file in others)})")
    return 0


def _no_runs(folder: Path) -> Iterator[str]:
    """What ``folder`` is instead of one with runs, and what may have been meant."""
    if not folder.exists():
        yield f"{folder}: there is no such folder; name that of a sweep"
    elif not folder.is_dir():
        yield f"{folder}: is a file; name the folder of a sweep"
    elif not (any((folder / name).is_file() for name in MARKS) or any(folder.glob("*/manifest.json"))):
        below = sorted({str(file.parents[1]) for file in folder.glob("*/*/manifest.json")})
        remedy = (
            f"name the sweeps in it: {', '.join(below[:3])}{', …' * (len(below) > 3)}" if below else "name a sweep's"
        )
        yield f"{folder}: there is no run in it; {remedy}"
