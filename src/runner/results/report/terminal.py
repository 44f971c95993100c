"""The report on a terminal: in the width that it has, with colours; in a pipe or a file, plain and as wide as it is."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from runner.results.report.findings import Findings
from runner.results.report.formats import bands
from runner.results.report.tables import Cell, Column, Table, difference_table, incomplete_table, score_table

GAP = "  "
CAPTION_WIDTH = 110
STYLES = {"incomplete": "red", "chosen": "bold green", "clear": "bold", "head": "bold", "title": "bold underline"}
Line = Sequence[tuple[str, str]]  # pieces of text, each with its mark


def show(findings: Findings) -> None:
    """Print the report on the standard output."""
    if not sys.stdout.isatty():
        print(text(findings))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for line in lines(findings, width=console.width):
        console.print(Text.assemble(*((piece, STYLES.get(mark, "")) for piece, mark in line)))


def text(findings: Findings) -> str:
    """Without colours, and in lines as long as it takes."""
    return "\n".join("".join(piece for piece, _ in line).rstrip() for line in lines(findings))


def lines(findings: Findings, *, width: int | None = None) -> Iterator[Line]:
    """``width`` is that of the terminal: a wider table stands in several pieces, each with the first columns."""
    yield [(findings.title, "title")]
    yield [(findings.summary(), "")]
    for note in findings.notes:
        yield [("note: ", "head"), (note, "")]
    for table in (score_table(findings), difference_table(findings), incomplete_table(findings)):
        if table.rows:
            yield []
            yield [(table.title, "title")]
            for number, piece in enumerate(_pieces(table, width)):
                yield from [[]] * (number > 0)
                yield from _laid_out(piece)
            yield from ([(line, "")] for line in textwrap.wrap(table.caption, width or CAPTION_WIDTH))


def _pieces(table: Table, width: int | None) -> Iterator[Table]:
    """Cut between bands, where the table is too wide."""
    runs = [list(places) for _, places in groupby(range(len(table.columns)), lambda place: table.columns[place].band)]
    head, *rest = runs
    piece = list(head)
    for run in rest:
        if width is not None and piece != head and _width(_only(table, [*piece, *run])) > width:
            yield _only(table, piece)
            piece = list(head)
        piece += run
    yield _only(table, piece)


def _only(table: Table, places: Sequence[int]) -> Table:
    rows = [[row[place] for place in places] for row in table.rows]
    return replace(table, columns=[table.columns[place] for place in places], rows=rows)


def _width(table: Table) -> int:
    widths = _widths(table)
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _widths(table: Table) -> list[int]:
    """Of each column. The last one of a band makes room for the band's name."""
    columns = zip(*([cell.text for cell in row] for row in table.rows), strict=True)
    widths = [max(map(len, [column.title, *texts])) for column, texts in zip(table.columns, columns, strict=True)]
    first = 0
    for band, count in bands(table.columns):
        room = sum(widths[first : first + count]) + len(GAP) * (count - 1)
        widths[first + count - 1] += max(0, len(band) - room)
        first += count
    return widths


def _laid_out(table: Table) -> Iterator[Line]:
    widths = _widths(table)
    if any(column.band for column in table.columns):
        yield list(_band_line(table.columns, widths))
    yield _line([Cell(column.title, mark="head") for column in table.columns], widths, table.columns)
    for row in table.rows:
        yield _line(row, widths, table.columns)


def _band_line(columns: Sequence[Column], widths: Sequence[int]) -> Iterator[tuple[str, str]]:
    first = 0
    for band, count in bands(columns):
        room = sum(widths[first : first + count]) + len(GAP) * (count - 1)
        yield band.rjust(room) + GAP, "head"
        first += count


def _line(row: Sequence[Cell], widths: Sequence[int], columns: Sequence[Column]) -> Line:
    return [
        ((cell.text.rjust(width) if column.number else cell.text.ljust(width)) + GAP, cell.mark)
        for cell, width, column in zip(row, widths, columns, strict=True)
    ]
