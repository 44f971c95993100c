"""Runs that differ in nothing but the seed are one group."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runner.results.report.distinctions import distinctions
from runner.results.report.gather import Run


@dataclass(frozen=True)
class Group:
    """The runs of one configuration, one for each seed. ``settings`` are those in which groups differ, as text."""

    name: str
    runs: tuple[Run, ...]
    settings: Mapping[str, str]

    @property
    def completed(self) -> list[Run]:
        return [run for run in self.runs if run.completed]

    @property
    def duration_s(self) -> float | None:
        """Mean over the runs that completed in one go."""
        known = [run.duration_s for run in self.completed if run.duration_s is not None]
        return sum(known) / len(known) if known else None

    @property
    def choosing(self) -> Mapping[str, str]:
        """The validation metrics that choose a checkpoint, each with its direction: ``{"accuracy": "max"}``."""
        start = "trainer.best."
        config = self.runs[0].config
        return {key.removeprefix(start): value for key, value in config.items() if key.startswith(start)}


def grouped(runs: Iterable[Run]) -> tuple[list[Group], list[str]]:
    """Groups in the order of their first runs, and what there is to say of runs that are there twice.

    Of those one counts, a completed one if there is any. A run whose configuration is not known has no group.
    """
    known = [run for run in runs if run.config]
    ignored = {"seed", *_tied_to_the_seed(known)}
    together: dict[str, list[Run]] = {}
    for run in known:
        rest = {key: value for key, value in run.config.items() if key not in ignored}
        together.setdefault(json.dumps(rest, sort_keys=True, default=str), []).append(run)
    names, settings = distinctions([group[0] for group in together.values()], ignored)
    notes: list[str] = []
    groups = [
        Group(name, tuple(_each_seed_once(group, notes)), differing)
        for name, group, differing in zip(names, together.values(), settings, strict=True)
    ]
    return groups, notes


def _tied_to_the_seed(runs: Sequence[Run]) -> set[str]:
    """Keys that have the value of the seed in every run, of several seeds: ``dataset.seed=${seed}``."""
    if len({run.seed for run in runs}) < 2:
        return set()
    keys = set.intersection(*(set(run.config) for run in runs))
    return {key for key in keys if all(run.config[key] == run.seed for run in runs)}


def _each_seed_once(runs: Sequence[Run], notes: list[str]) -> Iterator[Run]:
    by_seed: dict[Any, list[Run]] = {}
    for run in runs:
        by_seed.setdefault(run.seed, []).append(run)
    for same in by_seed.values():
        counts, *others = sorted(same, key=lambda run: not run.completed)  # stable: the first completed one
        notes += [_told_twice(counts, other) for other in others]
        yield counts


def _told_twice(counts: Run, other: Run) -> str:
    both = f"{other.place} repeats {counts.place}"
    if not other.completed:
        return f"{both} ({counts.state}) and does not count: {other.ending()}"
    if json.dumps(counts.test) == json.dumps(other.test) and counts.weights_sha256 == other.weights_sha256:
        return f"{both}: the same numbers, counted once"
    return f"{both} WITH OTHER NUMBERS; only {counts.place} counts (python -m runner diff compares them)"
