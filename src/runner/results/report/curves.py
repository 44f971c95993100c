"""Learning curves of groups: the mean over seeds at each evaluation, and its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runner.results.recorded import read_run
from runner.results.report.findings import Findings
from runner.results.report.gather import Run
from runner.results.report.groups import Group
from runner.results.report.statistics import Estimate, estimate

Scores = Mapping[int, Mapping[str, float]]  # by step: what an evaluation recorded


@dataclass(frozen=True)
class Curve:
    """``n`` runs at most. ``at`` counts steps; or epochs, when the steps of one are known for every run."""

    group: Group
    n: int
    at: Sequence[float]
    estimates: Sequence[Estimate]


@dataclass(frozen=True)
class Curves:
    """By metric, in the order in which they are worth a look. ``unit`` is epoch or step."""

    unit: str
    by_metric: Mapping[str, Sequence[Curve]]
    notes: Sequence[str]


def curves(findings: Findings) -> Curves:
    """Of the completed runs. A step counts that more than half of a group's runs evaluated: some may stop early."""
    notes: list[str] = []
    recorded = {
        group.name: [(run, found) for run in group.completed if (found := _recorded(run, notes))]
        for group in findings.groups
    }
    runs = [run for pairs in recorded.values() for run, _ in pairs]
    in_epochs = all(run.steps_per_epoch for run in runs)
    names = dict.fromkeys(
        name for pairs in recorded.values() for _, found in pairs for scores in found.values() for name in scores
    )
    first = [metric.name for metric in findings.selecting]
    ordered = sorted(names, key=lambda name: (name not in first, not name.startswith("valid/")))
    by_metric = {}
    for name in ordered:
        drawn = [_curve(group, recorded[group.name], name, in_epochs=in_epochs) for group in findings.groups]
        if any(curve.at for curve in drawn):
            by_metric[name] = [curve for curve in drawn if curve.at]
    return Curves("epoch" if in_epochs else "step", by_metric, notes)


def _recorded(run: Run, notes: list[str]) -> Scores:
    try:
        evaluations = read_run(run.folder).evaluations
    except ValueError as error:
        notes.append(f"{run.place} is in no picture: {error}")
        return {}
    return {step: found.metrics for step, found in evaluations.items() if found.metrics}


def _curve(group: Group, recorded: Sequence[tuple[Run, Scores]], name: str, *, in_epochs: bool) -> Curve:
    series = [
        (run, {step: scores[name] for step, scores in found.items() if name in scores}) for run, found in recorded
    ]
    series = [(run, values) for run, values in series if values]
    steps = sorted({step for _, values in series for step in values})
    kept = [step for step in steps if 2 * sum(step in values for _, values in series) > len(series)]
    scale = (series[0][0].steps_per_epoch or 1) if series and in_epochs else 1
    found = [estimate([values[step] for _, values in series if step in values]) for step in kept]
    return Curve(group, len(series), [step / scale for step in kept], found)
