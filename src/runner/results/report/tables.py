"""The tables of a report, before they are written as text, Markdown, LaTeX or HTML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from runner.results.report.findings import Findings, Metric, scores
from runner.results.report.gather import STATES, Run, first_line
from runner.results.report.groups import Group
from runner.results.report.notation import NOTHING, Notation, duration
from runner.results.report.statistics import Estimate

INTERVAL = "mean ± 95 % CI"
STAR = " ★"  # behind the name of the group that validation would choose


@dataclass(frozen=True)
class Column:
    """``band`` stands above columns that belong together."""

    title: str
    band: str = ""
    number: bool = True


@dataclass(frozen=True)
class Cell:
    """``value`` is what its column is sorted by, None for nothing. ``mark`` says why it stands out: chosen, clear,
    incomplete or differs. ``run`` is the one whose folder it leads to.
    """

    text: str
    value: float | str | None = None
    mark: str = ""
    run: Run | None = None


@dataclass(frozen=True)
class Table:
    """Rows of cells under columns; ``caption`` says how to read them."""

    title: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]


Band = tuple[Sequence[Column], Sequence[Sequence[Cell]]]  # some columns, and their cells for each row


def _beside(bands: Iterable[Band]) -> tuple[list[Column], list[list[Cell]]]:
    columns, rows = zip(*bands, strict=True)
    return list(chain(*columns)), [list(chain(*parts)) for parts in zip(*rows, strict=True)]


def score_table(findings: Findings) -> Table:
    """A row for each group: test scores to report, validation scores to choose by, time, and what is missing."""
    first = findings.selecting[0] if findings.selecting else None
    columns, rows = _beside(
        [
            _names(findings.groups, findings.preferred),
            *(_tested(findings.groups, metric) for metric in findings.tested),
            *(
                _selecting(findings.groups, metric, findings.preferred if metric is first else None)
                for metric in findings.selecting
            ),
            _effort(findings.groups),
        ]
    )
    return Table("Scores", " ".join(_how_to_read(findings)), columns, rows)


def _names(groups: Sequence[Group], preferred: Group | None) -> Band:
    names = [Cell(group.name + STAR * (group is preferred), group.name) for group in groups]
    counts = [Cell(str(len(group.completed)), len(group.completed)) for group in groups]
    return [Column("group", number=False), Column("n")], list(zip(names, counts, strict=True))


def _tested(groups: Sequence[Group], metric: Metric) -> Band:
    found = [scores(group, metric) for group in groups]
    write = Notation.of(score.estimate for score in found)
    band = f"{metric.name} (reported)"
    columns = [Column(INTERVAL, band), Column("median", band), Column("best", band)]
    rows = [
        [_mean(score.estimate, write, group), _number(score.median, write), _number(score.best, write)]
        for group, score in zip(groups, found, strict=True)
    ]
    if not metric.direction:
        return columns[:2], [row[:2] for row in rows]
    return columns, rows


def _selecting(groups: Sequence[Group], metric: Metric, preferred: Group | None) -> Band:
    found = [scores(group, metric).estimate for group in groups]
    write = Notation.of(found)
    cells = [
        [_mean(score, write, group, mark="chosen" if group is preferred else "")]
        for group, score in zip(groups, found, strict=True)
    ]
    return [Column(INTERVAL, f"best {metric.name} (to choose by)")], cells


def _effort(groups: Sequence[Group]) -> Band:
    columns = [Column("time a run"), Column("not completed", number=False)]
    rows = [[Cell(duration(group.duration_s), group.duration_s), _lacking(group.runs)] for group in groups]
    if not any(lacking.text for _, lacking in rows):
        return columns[:1], [row[:1] for row in rows]
    return columns, rows


def _mean(found: Estimate, write: Notation, group: Group, mark: str = "") -> Cell:
    """``n`` is said where it is not that of the row, too."""
    text = write.estimate(found)
    if found.n > 1 and found.n != len(group.completed):
        text += f" (n={found.n})"
    return Cell(text, found.mean if found.n else None, mark)


def _number(value: float | None, write: Notation) -> Cell:
    return Cell(NOTHING if value is None else write(value), value)


def word(text: str, mark: str = "") -> Cell:
    return Cell(text, text, mark)


def _lacking(runs: Iterable[Run]) -> Cell:
    counts = Counter(run.state for run in runs if not run.completed)
    text = ", ".join(f"{counts[state]} {state}" for state in sorted(counts, key=STATES.index))
    return Cell(text, counts.total(), "incomplete" if text else "")


def _how_to_read(findings: Findings) -> Iterable[str]:
    yield (
        "Mean over n completed seeds with its 95 % confidence interval (Student t); one seed has none."
        " Test scores are those of the final weights; best is the best of any seed and chooses nothing."
    )
    if findings.selecting:
        yield "Validation scores are the best of each run's evaluations."
    if findings.preferred is not None:
        yield f"★ the group that {findings.selecting[0].name} would choose."


def difference_table(findings: Findings) -> Table:
    """A row for each pair of groups and each test metric."""
    write = {
        metric.name: Notation.of(found.estimate for found in findings.differences if found.metric is metric)
        for metric in findings.tested
    }
    rows = [
        [
            word(found.metric.name),
            word(found.left.name),
            word(found.right.name),
            Cell(str(found.estimate.n), found.estimate.n),
            Cell(write[found.metric.name].difference(found.estimate), found.estimate.mean),
            Cell("yes" if found.clear else "no", "yes" if found.clear else "no", "clear" if found.clear else "")
            if found.estimate.half is not None
            else Cell(NOTHING),
        ]
        for found in findings.differences
    ]
    titles = ("test metric", "group", "minus group")
    columns = [*(Column(title, number=False) for title in titles), Column("n")]
    columns += [Column("mean difference ± 95 % CI"), Column("excludes 0", number=False)]
    return Table(
        "Paired differences",
        "Differences of runs with the same seed, over the n seeds that both groups completed (Student t on"
        " the differences). Each interval stands for itself: none is widened for the number of comparisons.",
        columns,
        rows,
    )


def configuration_table(findings: Findings) -> Table:
    """A row for each setting in which groups differ; what is not as in most groups stands out."""
    keys = list(findings.groups[0].settings) if findings.groups else []
    rows = []
    for key in keys:
        values = [group.settings[key] for group in findings.groups]
        usual, count = Counter(values).most_common(1)[0]
        marks = ["differs" if value != usual or count == 1 else "" for value in values]
        rows.append([word(key), *(word(value, mark) for value, mark in zip(values, marks, strict=True))])
    columns = [Column("setting", number=False), *(Column(group.name, number=False) for group in findings.groups)]
    caption = "Settings in which the groups differ; what is not as in most groups stands out."
    return Table("Configuration", caption, columns, rows)


def run_table(findings: Findings) -> Table:
    """A row for each run."""
    metrics = [*findings.tested, *findings.selecting]
    scored = [Column(metric.name, "reported") for metric in findings.tested]
    scored += [Column(f"best {metric.name}", "to choose by") for metric in findings.selecting]
    rows = [
        [
            *_about(findings, run),
            *(_score(run, metric) for metric in metrics),
            Cell(duration(run.duration_s), run.duration_s),
            word(first_line(run.reason)),
        ]
        for run in findings.runs
    ]
    columns = [*ABOUT, *scored, Column("time"), Column("reason", number=False)]
    return Table("Runs", "", columns, rows)


def incomplete_table(findings: Findings) -> Table:
    """A row for each run that did not complete, and why."""
    rows = [[*_about(findings, run), word(first_line(run.reason))] for run in findings.incomplete]
    columns = [*ABOUT, Column("reason", number=False)]
    return Table("Not completed", "These runs are in no number of this report.", columns, rows)


ABOUT = (
    Column("run", number=False),
    Column("group", number=False),
    Column("seed"),
    Column("state", number=False),
    Column("step"),
)


def _about(findings: Findings, run: Run) -> list[Cell]:
    name, group = findings.names[run.folder], findings.group_of(run)
    return [
        Cell(name, name, run=run),
        word(NOTHING if group is None else group.name),
        Cell(NOTHING if run.seed is None else str(run.seed), run.seed),
        word(run.state, "" if run.completed else "incomplete"),
        Cell(str(run.step), run.step),
    ]


def _score(run: Run, metric: Metric) -> Cell:
    value = run.score(metric.name)
    return Cell(NOTHING if value is None else f"{value:.6g}", value)
