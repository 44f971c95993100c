"""The numbers of a report for other programs: two CSV files, with all digits."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from runner.results.report.findings import Findings, Metric, scores
from runner.results.report.gather import COMPLETED, STATES
from runner.results.report.statistics import Estimate


def group_records(findings: Findings) -> str:
    """A row for each group and metric; then one for each pair of groups: ``minus`` has the second one's name."""
    names = ("group", "minus", "metric", "direction", "n", "mean", "ci_low", "ci_high", "median", "best")
    states = (COMPLETED, *STATES)
    settings = list(findings.groups[0].settings) if findings.groups else []
    columns = [*names, "preferred", "duration_s", *states, *settings]
    return _csv(columns, [*_group_rows(findings), *_difference_rows(findings)])


def _group_rows(findings: Findings) -> Iterator[dict[str, Any]]:
    for group in findings.groups:
        counts = Counter(run.state for run in group.runs)
        about = {
            "group": group.name,
            "preferred": "yes" if group is findings.preferred else "no",
            "duration_s": group.duration_s,
            **{state: counts[state] for state in (COMPLETED, *STATES)},
            **group.settings,
        }
        for metric in (*findings.tested, *findings.selecting):
            found = scores(group, metric)
            yield about | _estimate(metric, found.estimate) | {"median": found.median, "best": found.best}


def _difference_rows(findings: Findings) -> Iterator[dict[str, Any]]:
    for found in findings.differences:
        yield {"group": found.left.name, "minus": found.right.name, **_estimate(found.metric, found.estimate)}


def _estimate(metric: Metric, found: Estimate) -> dict[str, Any]:
    mean = found.mean if found.n else None
    about = {"metric": metric.name, "direction": metric.direction, "n": found.n, "mean": mean}
    return about | {"ci_low": found.low, "ci_high": found.high}


def run_records(findings: Findings) -> str:
    """A row for each run, incomplete ones too. Scores of the test part are final, those of the validation part best."""
    metrics = [*findings.tested, *findings.selecting]
    settings = list(findings.groups[0].settings) if findings.groups else []
    columns = ["run", "group", "seed", "state", "step", "reason", "duration_s", *(metric.name for metric in metrics)]
    rows = []
    for run in findings.runs:
        group = findings.group_of(run)
        about = {
            "run": findings.names[run.folder],
            "group": group.name if group else "",
            "seed": run.seed,
            "state": run.state,
            "step": run.step,
            "reason": run.reason,
            "duration_s": run.duration_s,
        }
        rows.append({**(group.settings if group else {}), **about, **run.valid, **run.test})
    return _csv([*columns, *settings], rows)


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Floats are written so that ``float`` reads back the same number."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(columns)), restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
