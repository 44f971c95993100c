"""Everything that is wrong with a sweep as one table."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TextIO

from runner.preflight.findings import spans
from runner.problem import Refused

PLAIN_WIDTH = 120  # characters, where no terminal says how many it has
COLUMNS = {"jobs": 3, "key": 3, "value": 2, "what is wrong": 6, "remedy": 4}
"""Of the table, with their shares of the width where it is too small for all."""


def print_problems(refused: Refused, stream: TextIO) -> None:
    """A row for each problem with the jobs that have it, wrapped and never cut; plain text unless on a terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    told = stream.isatty() or "COLUMNS" in os.environ
    console = Console(file=stream, width=None if told else PLAIN_WIDTH, highlight=False)
    table = Table(box=box.HORIZONTALS, show_lines=True, pad_edge=False, header_style="bold")
    for name, share in COLUMNS.items():
        table.add_column(name, overflow="fold", ratio=share)
    for found in refused.found:
        problem = found.problem
        value = "" if problem.value is None else str(problem.value)
        cells = (_jobs(found.jobs, refused.jobs), problem.key, value, problem.text, problem.remedy)
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table)


def heading(refused: Refused) -> str:
    """``3 of 100 jobs cannot run as they are, so none was started``."""
    wrong = len({name for found in refused.found for name in found.jobs})
    return f"{wrong} of {len(refused.jobs)} jobs cannot run as they are, so none was started"


def _jobs(names: Sequence[str], among: Sequence[str]) -> str:
    return f"all ({len(among)})" if len(names) == len(among) > 1 else spans(names, among)
