"""The report as one HTML page that needs nothing else: no network, no other file but the runs that it links to."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from runner.results.report.findings import Findings
from runner.results.report.formats import bands
from runner.results.report.tables import (
    Cell,
    Column,
    Table,
    configuration_table,
    difference_table,
    incomplete_table,
    run_table,
    score_table,
)

INK = "#262626"
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"  # and nothing is ever fetched


def page(findings: Findings, pictures: Mapping[str, Sequence[str]], *, out: Path) -> str:
    """The page, to be written into ``out``. ``pictures`` are SVG by the title of the section that they are in."""
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{escape(findings.title)}</title>",
            f"<style>\n{_own('page.css')}</style></head><body><main>",
            f"<h1>{escape(findings.title)}</h1>",
            f'<p class="summary">{escape(findings.summary())}</p>',
            *_notes(findings.notes),
            *_section(score_table(findings), out),
            *_section(incomplete_table(findings), out),
            *_pictures(pictures),
            *_section(difference_table(findings), out),
            *(_section(configuration_table(findings), out) if len(findings.groups) > 1 else ()),
            *_section(run_table(findings), out),
            f"</main><script>\n{_own('page.js')}</script></body></html>\n",
        ]
    )


def _own(name: str) -> str:
    return files("runner.results.report").joinpath(name).read_text(encoding="utf-8")


def _notes(notes: Sequence[str]) -> Iterator[str]:
    if notes:
        yield f'<ul class="notes">{"".join(f"<li>{escape(note)}</li>" for note in notes)}</ul>'


def _section(table: Table, out: Path) -> Iterator[str]:
    """Nothing for a table without rows."""
    if not table.rows:
        return
    name = table.title.lower().replace(" ", "-")
    yield f'<section id="{name}"><h2>{escape(table.title)}</h2>'
    yield '<div class="scroll"><table><thead>'
    yield from _head(table.columns)
    yield "</thead><tbody>"
    for row in table.rows:
        cells = (_cell(cell, column, out) for cell, column in zip(row, table.columns, strict=True))
        yield f"<tr>{''.join(cells)}</tr>"
    yield "</tbody></table></div>"
    if table.caption:
        yield f"<p>{escape(table.caption)}</p>"
    yield "</section>"


def _head(columns: Sequence[Column]) -> Iterator[str]:
    spans = bands(columns)
    if any(band for band, _ in spans):
        cells = (
            f'<th scope="colgroup" colspan="{width}">{escape(band)}</th>' if band else f'<td colspan="{width}"></td>'
            for band, width in spans
        )
        yield f'<tr class="bands">{"".join(cells)}</tr>'
    heads = (
        f'<th scope="col"{_number(column)}><button type="button">{escape(column.title)}</button></th>'
        for column in columns
    )
    yield f'<tr class="heads">{"".join(heads)}</tr>'


def _number(column: Column) -> str:
    return ' class="number"' if column.number else ""


def _cell(cell: Cell, column: Column, out: Path) -> str:
    classes = " ".join([*(["number"] if column.number else []), *([cell.mark] if cell.mark else [])])
    attributes = f' class="{classes}"' if classes else ""
    if cell.value is not None:
        attributes += f' data-value="{escape(str(cell.value))}"'
    text = escape(cell.text)
    if cell.run is not None and cell.run.folder.is_dir():
        text = f'<a href="{_link(cell.run.folder, out)}">{text}</a>'
    return f"<td{attributes}>{text}</td>"


def _link(folder: Path, out: Path) -> str:
    """Relative, so that the report can move together with its runs."""
    return quote(Path(os.path.relpath(folder.resolve(), out.resolve())).as_posix()) + "/"


def _pictures(pictures: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for title, drawn in pictures.items():
        if drawn:
            figures = "".join(f"<figure>{_inline(svg)}</figure>" for svg in drawn)
            name = title.lower().replace(" ", "-")
            yield f'<section id="{name}"><h2>{escape(title)}</h2><div class="figures">{figures}</div></section>'


def _inline(svg: str) -> str:
    """Without what only a file needs, and in the colour of the page's text, which may be light."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg\b[^>]*?) width="([^"]*)" height="[^"]*"', r'\1 role="img" style="width: \2"', svg, count=1)
    return re.sub(INK, "currentColor", svg)
