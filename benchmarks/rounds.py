"""Ours beside the anchors: in turn, in an order that is shuffled in each round, as ratios within the rounds."""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from runner.results import provenance

HEADINGS = ("what", "against", "ours", "theirs", "ratio", "min–max", "n", "goal", "")


@dataclass(frozen=True)
class Goal:
    """``<=``: our time over theirs is at most ``limit``. ``>=``: theirs over ours, the speed-up, is at least that."""

    sign: Literal["<=", ">="]
    limit: float

    def reached(self, ratio: float) -> bool:
        return ratio <= self.limit if self.sign == "<=" else ratio >= self.limit

    def __str__(self) -> str:
        return f"{'≤' if self.sign == '<=' else '≥'} {self.limit:g}"


@dataclass(frozen=True)
class Contender:
    """``seconds`` does the work of one round and says how long a unit of it took, in the unit of its rivals.

    ``needs`` is the package without which it cannot run.
    """

    name: str
    seconds: Callable[[], float]
    goal: Goal | None = None
    needs: str | None = None


@dataclass(frozen=True)
class Comparison:
    """Seconds of ours and of one anchor, round by round."""

    what: str
    anchor: Contender
    ours_s: Sequence[float]
    theirs_s: Sequence[float]

    @property
    def ratios(self) -> list[float]:
        pairs = zip(self.ours_s, self.theirs_s, strict=True)
        speed_up = self.anchor.goal is not None and self.anchor.goal.sign == ">="
        return [theirs / ours if speed_up else ours / theirs for ours, theirs in pairs]

    def cells(self) -> list[str]:
        ratio, goal = statistics.median(self.ratios), self.anchor.goal
        return [
            self.what,
            self.anchor.name,
            duration(statistics.median(self.ours_s)),
            duration(statistics.median(self.theirs_s)),
            f"{ratio:.3g}",
            f"{min(self.ratios):.3g}–{max(self.ratios):.3g}",
            str(len(self.ratios)),
            "" if goal is None else str(goal),
            "" if goal is None else "reached" if goal.reached(ratio) else "MISSED",
        ]


def duration(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def compared(
    what: str, ours: Contender, anchors: Iterable[Contender], *, rounds: int, warmup: int, seed: int
) -> list[Comparison]:
    """All contenders ``rounds`` times, after ``warmup`` rounds that do not count. Absent ones are said and left out."""
    field = [ours, *present(anchors)]
    taken: dict[str, list[float]] = {contender.name: [] for contender in field}
    order = random.Random(seed)
    for number in range(warmup + rounds):
        for contender in order.sample(field, len(field)):
            took_s = contender.seconds()
            if number >= warmup:
                taken[contender.name].append(took_s)
    return [Comparison(what, anchor, taken[ours.name], taken[anchor.name]) for anchor in field[1:]]


def present(anchors: Iterable[Contender]) -> list[Contender]:
    """Those whose package is installed; the others are said."""
    found = []
    for anchor in anchors:
        if anchor.needs is None or importlib.util.find_spec(anchor.needs) is not None:
            found.append(anchor)
        else:
            print(f"left out: {anchor.name}: {anchor.needs} is not installed; pip install 'runner[bench]'")
    return found


def table(comparisons: Iterable[Comparison], *, markdown: bool) -> str:
    lines = [list(HEADINGS), *(comparison.cells() for comparison in comparisons)]
    if markdown:
        lines.insert(1, ["---"] * len(HEADINGS))
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def machine(device: str = "cpu") -> str:
    """What was measured on, in one line. The load is that of the minute before: others' work, at the beginning."""
    import torch

    facts = provenance.environment(device)
    cores = f"{facts['cpu']}, {facts['cpus']} cores, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}"
    gpu = f"{facts['gpu']}, " if "gpu" in facts else ""
    return f"{gpu}{cores}; Python {facts['python']}, torch {facts['versions']['torch']}"


def parser(description: str | None, *, rounds: int, warmup: int) -> argparse.ArgumentParser:
    """The options that all comparisons have."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--rounds", type=int, default=rounds, help="that count (default: %(default)s)")
    made.add_argument("--warmup", type=int, default=warmup, help="rounds before them (default: %(default)s)")
    made.add_argument("--seed", type=int, default=0, help="of the order in the rounds")
    made.add_argument("--markdown", action="store_true", help="print rows for docs/benchmarks.md")
    return made


def report(comparisons: Iterable[Comparison], args: argparse.Namespace, *, device: str = "cpu") -> int:
    """Print the machine and the table; the exit status, which no number changes."""
    print(machine(device), end="\n\n")
    print(table(comparisons, markdown=args.markdown))
    return 0
