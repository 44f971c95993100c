"""What a report says, as Markdown and LaTeX."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from runner.results.report.findings import Findings
from runner.results.report.tables import (
    Column,
    Table,
    configuration_table,
    difference_table,
    incomplete_table,
    score_table,
)


def sections(findings: Findings) -> list[Table]:
    """The tables that have something to say."""
    tables = [score_table(findings), difference_table(findings), incomplete_table(findings)]
    if len(findings.groups) > 1:
        tables.append(configuration_table(findings))
    return [table for table in tables if table.rows]


def bands(columns: Sequence[Column]) -> list[tuple[str, int]]:
    """Each band and how many columns it spans, in order; columns without one have the empty band."""
    return [(band, len(list(members))) for band, members in groupby(columns, key=lambda column: column.band)]


def markdown(findings: Findings, pictures: Sequence[str]) -> str:
    """The whole report; ``pictures`` are files, relative to it."""
    parts = [f"# {findings.title}", findings.summary()]
    if findings.notes:
        parts.append("\n".join(f"- {_plain_markdown(note)}" for note in findings.notes))
    for table in sections(findings):
        parts += [f"## {table.title}", markdown_table(table), *([table.caption] if table.caption else [])]
    if pictures:
        parts += ["## Pictures", *(f"![{picture}]({picture})" for picture in pictures)]
    return "\n\n".join(parts) + "\n"


def markdown_table(table: Table) -> str:
    """Markdown has one line for heads: a band stands in each head of its columns."""
    heads = [f"{column.band}: {column.title}" if column.band else column.title for column in table.columns]
    rules = ["---:" if column.number else "---" for column in table.columns]
    rows = [[_plain_markdown(cell.text) for cell in row] for row in table.rows]
    lines = [[_plain_markdown(head) for head in heads], rules, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain_markdown(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", text)


LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "−": r"$-$",
    "–": "--",
    "★": r"$\star$",
    "…": r"\dots{}",
}


def latex(findings: Findings) -> str:
    """The tables of scores and of differences, for ``\\input`` in a paper that uses booktabs."""
    tables = [score_table(findings), difference_table(findings)]
    parts = [f"% {findings.title}: {findings.summary()}", r"% needs \usepackage{booktabs} in the preamble"]
    parts += [f"% {note}" for note in findings.notes]
    parts += ["\n".join(_latex_table(table)) for table in tables if table.rows]
    return "\n".join(parts) + "\n"


def _latex_table(table: Table) -> Iterator[str]:
    yield r"\begin{table}"
    yield r"  \centering"
    yield f"  \\caption{{{escaped(table.caption)}}}"
    yield f"  \\begin{{tabular}}{{{''.join('r' if column.number else 'l' for column in table.columns)}}}"
    yield r"    \toprule"
    if any(column.band for column in table.columns):
        yield from _latex_bands(bands(table.columns))
    yield _latex_row([column.title for column in table.columns])
    yield r"    \midrule"
    for row in table.rows:
        yield _latex_row([cell.text for cell in row])
    yield r"    \bottomrule"
    yield r"  \end{tabular}"
    yield r"\end{table}"


def _latex_bands(spans: Sequence[tuple[str, int]]) -> Iterator[str]:
    heads, rules, first = [], [], 1
    for band, width in spans:
        heads.append(f"\\multicolumn{{{width}}}{{c}}{{{escaped(band)}}}")
        if band:
            rules.append(f"\\cmidrule(lr){{{first}-{first + width - 1}}}")
        first += width
    yield f"    {' & '.join(heads)} \\\\"
    yield f"    {' '.join(rules)}"


def _latex_row(texts: Sequence[str]) -> str:
    return f"    {' & '.join(map(escaped, texts))} \\\\"


def escaped(text: str) -> str:
    """``text`` as LaTeX prints it; the minus of a number is one."""
    text = re.sub(r"(?<![\w.])-(?=\d)", "−", text)
    return "".join(LATEX.get(character, character) for character in text)
