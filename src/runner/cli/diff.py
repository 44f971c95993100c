"""``python -m runner diff A B``: whether two runs are the same to the bit, where they part, and what may explain it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from runner.afterwards.weights import RECORDS, refuse_damaged
from runner.problem import Refused
from runner.results.comparison import compare

USAGE = "python -m runner diff RUN RUN"
SHOWN_RUNS = 3


def main(argv: Sequence[str]) -> int:
    """Print the comparison; 0 when the numbers are identical, 1 when they differ or cannot be compared.

    Raises ``Refused`` unless ``argv`` names two runs.
    """
    problems = [
        f"{argument}: diff takes no options and no overrides; {USAGE}" for argument in argv if _is_no_path(argument)
    ]
    folders = [Path(argument) for argument in argv if not _is_no_path(argument)]
    if len(folders) != 2:
        problems.append(f"diff compares two runs, got {len(folders)}; {USAGE}")
    elif folders[0].resolve() == folders[1].resolve():
        problems.append(f"{folders[1]}: is the same folder twice; name two runs")
    problems += [problem for folder in dict.fromkeys(folders) for problem in _no_run(folder)]
    if problems:
        raise Refused(problems)
    for folder in folders:
        refuse_damaged(folder, RECORDS)
    comparison = compare(*folders)
    print(comparison.text())
    return 0 if comparison.identical else 1


def _is_no_path(argument: str) -> bool:
    """Folders of a sweep have ``=`` in their names, too."""
    return argument.startswith("-") or ("=" in argument and "/" not in argument and not Path(argument).exists())


def _no_run(folder: Path) -> Iterator[str]:
    """What ``folder`` is instead of the folder of a run, and what may have been meant."""
    if (folder / "manifest.json").is_file():
        return
    if not folder.exists():
        yield f"{folder}: there is no such folder; name that of a run"
        return
    runs = sorted(file.parent for file in folder.glob("*/manifest.json"))
    if (folder / "multirun.yaml").is_file() or runs:
        shown = [str(run) for run in runs[:SHOWN_RUNS]] + ["…"] * (len(runs) > SHOWN_RUNS)
        yield f"{folder}: is a sweep; name one of its runs" + (f": {', '.join(shown)}" if runs else "")
    elif (folder.parent / "manifest.json").is_file():
        yield f"{folder}: lies in the folder of a run; name {folder.parent}"
    else:
        yield f"{folder}: is not the folder of a run: it has no manifest.json; name one that has"
