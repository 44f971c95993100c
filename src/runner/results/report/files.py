"""The report of one or several sweeps, written: as Markdown, LaTeX, CSV, pictures, and a page with all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from runner import drawing
from runner.durable import write_whole
from runner.observers import history_pictures as history
from runner.results.recorded import read_run
from runner.results.report import pictures, terminal
from runner.results.report.curves import curves
from runner.results.report.findings import Findings, find
from runner.results.report.formats import latex, markdown
from runner.results.report.gather import Run, gathered
from runner.results.report.page import page
from runner.results.report.records import group_records, run_records

NEEDED = "pictures need matplotlib, which is not installed: pip install 'runner[report]'"
CURVES, SCORES, HISTORY = "Learning curves", "Test scores of each seed", "History"


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
    of_one_run = [run.folder for run in runs] == [folders[0]]
    drawn, notes = _drawn(findings, of_one_run=of_one_run) if draw else ({}, [])
    findings = replace(findings, notes=[*findings.notes, *notes])
    files = {name: svg for some in drawn.values() for name, svg in some.items()}
    written = {
        **files,
        "report.md": markdown(findings, list(files)),
        "report.csv": group_records(findings),
        "report.runs.csv": run_records(findings),
        "report.tex": latex(findings),
        "report.html": page(findings, {title: list(some.values()) for title, some in drawn.items()}, out=out),
    }
    return Report(findings, [write_whole(out / name, text) for name, text in written.items()])


def _title(folder: Path) -> str:
    """The end of a path says which one: sweeps are called ``<date>/<time>``."""
    return "/".join(folder.resolve().parts[-2:])


def _drawn(findings: Findings, *, of_one_run: bool) -> tuple[Mapping[str, Mapping[str, str]], Sequence[str]]:
    """SVG by file, by section; and what there is to say about what is missing in them."""
    if not drawing.available():
        return {}, [NEEDED]
    if of_one_run:
        return _history(findings.runs[0])
    found = curves(findings)
    learning = {
        _file_name(metric): pictures.curve_picture(metric, some, found.unit, findings.preferred)
        for metric, some in found.by_metric.items()
    }
    seeds = {_file_name(metric.name): pictures.score_picture(metric, findings.groups) for metric in findings.tested}
    return {SCORES: seeds, CURVES: learning}, found.notes


def _history(run: Run) -> tuple[Mapping[str, Mapping[str, str]], Sequence[str]]:
    """Of a single run: what it drew at its end, or would have drawn, and more."""
    try:
        evaluations = read_run(run.folder).evaluations
    except ValueError as error:
        return {}, [f"there is no picture: {error}"]
    scores = {step: found.metrics for step, found in evaluations.items() if found.metrics}
    drawn = history.pictures(history.History(scores, run.steps_per_epoch, run.valid, run.test))
    return {HISTORY: {f"{history.FOLDER}/{metric}.svg": svg for metric, svg in drawn.items()}}, []


def _file_name(metric: str) -> str:
    return f"curves/{metric.replace('/', '_')}.svg"
