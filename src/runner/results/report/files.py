"""The report of one or several sweeps, written: as Markdown, LaTeX, CSV, pictures, and a page with all of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from runner.results.report import pictures, terminal
from runner.results.report.curves import curves
from runner.results.report.findings import Findings, find
from runner.results.report.formats import latex, markdown
from runner.results.report.gather import gathered
from runner.results.report.page import page
from runner.results.report.records import group_records, run_records

NEEDED = "pictures need matplotlib, which is not installed: pip install 'runner[report]'"
CURVES, SCORES = "Learning curves", "Test scores of each seed"


@dataclass(frozen=True)
class Report:
    """What was found, and the files that say it."""

    findings: Findings
    files: Sequence[Path]

    def text(self) -> str:
        """The tables of scores, of differences and of what is missing; without colours, however wide."""
        return terminal.text(self.findings)

    def show(self) -> None:
        """Print ``text``; on a terminal with colours and in its width."""
        terminal.show(self.findings)


def report(folders: Sequence[Path], *, out: Path | None = None, draw: bool = True) -> Report:
    """Summarise the runs of sweeps, or single runs, in ``folders``; write into ``out``, or the first of them.

    ``draw=False`` leaves the pictures out, which take a second or two, and those of an earlier report as they are.
    Raises ``ValueError`` for folders without a run, and for a ledger that cannot be read. A damaged run is reported.
    """
    runs = gathered(folders)
    if not runs:
        raise ValueError(f"{', '.join(map(str, folders))}: there is no run; name the folder of a sweep or of a run")
    out = folders[0] if out is None else out
    findings = find(runs, title=" + ".join(dict.fromkeys(_title(folder) for folder in folders)))
    drawn, notes = _drawn(findings) if draw else ({}, [])
    findings = replace(findings, notes=[*findings.notes, *notes])
    names = {title: [_file_name(metric) for metric in some] for title, some in drawn.items()}
    written = {
        **{f"curves/{_file_name(metric)}": svg for some in drawn.values() for metric, svg in some.items()},
        "report.md": markdown(findings, [f"curves/{name}" for some in names.values() for name in some]),
        "report.csv": group_records(findings),
        "report.runs.csv": run_records(findings),
        "report.tex": latex(findings),
        "report.html": page(findings, {title: list(some.values()) for title, some in drawn.items()}, out=out),
    }
    return Report(findings, [_write(out / name, text) for name, text in written.items()])


def _title(folder: Path) -> str:
    """The end of a path says which one: sweeps are called ``<date>/<time>``."""
    return "/".join(folder.resolve().parts[-2:])


def _drawn(findings: Findings) -> tuple[Mapping[str, Mapping[str, str]], Sequence[str]]:
    """SVG by metric, by section; and what there is to say about what is missing in them."""
    if not pictures.available():
        return {}, [NEEDED]
    found = curves(findings)
    learning = {
        metric: pictures.curve_picture(metric, some, found.unit, findings.preferred)
        for metric, some in found.by_metric.items()
    }
    seeds = {metric.name: pictures.score_picture(metric, findings.groups) for metric in findings.tested}
    return {SCORES: seeds, CURVES: learning}, found.notes


def _file_name(metric: str) -> str:
    return f"{metric.replace('/', '_')}.svg"


def _write(path: Path, text: str) -> Path:
    """Whole or not at all: someone may be looking while a sweep writes its report anew."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
    return path
