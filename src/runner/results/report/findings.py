"""What the runs of a sweep say together: scores of each group, differences between groups, and what is missing."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path

from runner.results.report.gather import COMPLETED, STATES, Run
from runner.results.report.groups import Group, grouped
from runner.results.report.notation import Notation
from runner.results.report.statistics import Estimate, estimate

FEW_GROUPS = 4  # of which all pairs are compared; of more, each with the best by validation
LOWER = {"loss", "error", "mse", "rmse", "mae", "nll", "perplexity", "fid"}  # is better
HIGHER = {"accuracy", "f1", "precision", "recall", "top5", "auc", "auroc", "iou", "dice", "psnr", "ssim", "r2"}


@dataclass(frozen=True)
class Metric:
    """``test/accuracy`` or ``valid/accuracy``. ``direction`` is max, min, or empty when nobody knows."""

    name: str
    direction: str

    def best(self, values: Sequence[float]) -> float | None:
        """None without values or direction; NaN when one of the values is."""
        if not values or not self.direction:
            return None
        return math.nan if any(map(math.isnan, values)) else (max if self.direction == "max" else min)(values)


@dataclass(frozen=True)
class Scores:
    """What the completed runs of a group scored, by seed, and the estimate of their mean."""

    values: Mapping[int | None, float]
    estimate: Estimate
    median: float | None
    best: float | None

    @classmethod
    def of(cls, values: Mapping[int | None, float], metric: Metric) -> Scores:
        numbers = list(values.values())
        finite = all(map(math.isfinite, numbers))
        median = statistics.median(numbers) if numbers and finite else math.nan if numbers else None
        return cls(values, estimate(numbers), median, metric.best(numbers))


@dataclass(frozen=True)
class Difference:
    """``left`` minus ``right`` in one metric, over the seeds that both completed."""

    left: Group
    right: Group
    metric: Metric
    estimate: Estimate

    @property
    def clear(self) -> bool:
        """Zero lies outside of the interval."""
        return self.estimate.half is not None and abs(self.estimate.mean) > self.estimate.half


@dataclass(frozen=True)
class Findings:
    """``tested`` are the metrics to report, of the test part; ``selecting`` those to choose by, of the validation part.

    ``preferred`` is the group that validation would choose, by the first of ``selecting``; None when there is no
    choice. ``notes`` say what a reader must know of the numbers.
    """

    title: str
    runs: Sequence[Run]
    groups: Sequence[Group]
    tested: Sequence[Metric]
    selecting: Sequence[Metric]
    preferred: Group | None
    differences: Sequence[Difference]
    notes: Sequence[str]

    @property
    def incomplete(self) -> list[Run]:
        return [run for run in self.runs if not run.completed]

    def summary(self) -> str:
        """``7 runs in 2 groups: 5 completed, 1 failed, 1 missing``."""
        counts = Counter(run.state for run in self.runs)
        states = ", ".join(f"{counts[state]} {state}" for state in (COMPLETED, *STATES) if counts[state])
        return f"{_counted(len(self.runs), 'run')} in {_counted(len(self.groups), 'group')}: {states}"

    @cached_property
    def names(self) -> dict[Path, str]:
        """What each run is called, by its folder: its own name, or its sweep's with it where two share theirs."""
        shared = Counter(run.name for run in self.runs)
        return {run.folder: run.place if shared[run.name] > 1 else run.name for run in self.runs}

    def group_of(self, run: Run) -> Group | None:
        return self._groups.get(run.folder)

    @cached_property
    def _groups(self) -> dict[Path, Group]:
        return {run.folder: group for group in self.groups for run in group.runs}


def find(runs: Sequence[Run], *, title: str) -> Findings:
    """Everything but pictures."""
    groups, notes = grouped(runs)
    directions = {name: direction for group in reversed(groups) for name, direction in group.choosing.items()}
    completed = [run for group in groups for run in group.completed]
    tested = _metrics([run.test for run in completed], directions)
    selecting = _metrics([run.valid for run in completed], directions)
    preferred = _preferred(groups, selecting)
    return Findings(
        title=title,
        runs=runs,
        groups=groups,
        tested=tested,
        selecting=selecting,
        preferred=preferred,
        differences=list(_differences(groups, tested, preferred)),
        notes=[*notes, *_not_finite(groups, [*tested, *selecting])],
    )


def _metrics(scores: Iterable[Mapping[str, float]], directions: Mapping[str, str]) -> list[Metric]:
    """Those that choose a checkpoint come first."""
    names = list(dict.fromkeys(name for some in scores for name in some))
    names.sort(key=lambda name: name.partition("/")[2] not in directions)
    return [Metric(name, _direction(name.partition("/")[2], directions)) for name in names]


def _direction(name: str, directions: Mapping[str, str]) -> str:
    plain = name.rpartition("/")[2]  # of one of several data sets
    words = set(plain.lower().split("_"))
    return (
        directions.get(name) or directions.get(plain) or ("min" if words & LOWER else "max" if words & HIGHER else "")
    )


def scores(group: Group, metric: Metric) -> Scores:
    """Of the completed runs that have the metric."""
    found = {run.seed: run.score(metric.name) for run in group.completed}
    return Scores.of({seed: value for seed, value in found.items() if value is not None}, metric)


def _preferred(groups: Sequence[Group], selecting: Sequence[Metric]) -> Group | None:
    """A group without a finite mean cannot be chosen; of equal ones the first is."""
    if len(groups) < 2 or not selecting or not selecting[0].direction:
        return None
    sign = 1 if selecting[0].direction == "max" else -1
    means = {place: sign * scores(group, selecting[0]).estimate.mean for place, group in enumerate(groups)}
    known = {place: mean for place, mean in means.items() if math.isfinite(mean)}
    return groups[max(known, key=lambda place: known[place])] if known else None


def _differences(groups: Sequence[Group], metrics: Sequence[Metric], preferred: Group | None) -> Iterator[Difference]:
    for metric in metrics:
        for left, right in _pairs(groups, preferred):
            ours, theirs = scores(left, metric).values, scores(right, metric).values
            common = [seed for seed in ours if seed in theirs]
            if common:
                yield Difference(left, right, metric, estimate([ours[seed] - theirs[seed] for seed in common]))


def _pairs(groups: Sequence[Group], preferred: Group | None) -> list[tuple[Group, Group]]:
    if len(groups) <= FEW_GROUPS:
        return list(combinations(groups, 2))
    reference = preferred or groups[0]
    return [(group, reference) for group in groups if group is not reference]


def _not_finite(groups: Sequence[Group], metrics: Sequence[Metric]) -> Iterator[str]:
    """A mean that is NaN, why, and what it would be without."""
    for group in groups:
        for metric in metrics:
            found = scores(group, metric).values
            bad = {seed: value for seed, value in found.items() if not math.isfinite(value)}
            if bad:
                told = ", ".join(f"{value} with seed {seed}" for seed, value in bad.items())
                rest = estimate([value for value in found.values() if math.isfinite(value)])
                mean = Notation.of([rest]).estimate(rest)
                without = f"; without: {mean}{f' (n={rest.n})' * (rest.n > 1)}" if rest.n else ""
                yield f"{group.name}: {metric.name} is {told}, so its mean is no number{without}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
