"""What checking all jobs found, and how it is told. Free of torch."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from runner.problem import Found, Problem, Refused

SEED = re.compile(r"__\d+|\bseed=\d+")  # in a name, or in the overrides of a job that could not be named
SPAN = 3  # as many jobs in a row are told by the first and the last


@dataclass(frozen=True)
class Findings:
    """What is wrong with which of ``jobs``, what of them could not be checked, with the reason, and what is to come."""

    jobs: Sequence[str]
    wrong: Sequence[Found] = ()
    unchecked: Sequence[Found] = ()
    told: Sequence[Found] = ()

    def lines(self) -> list[str]:
        """A line for each problem; in a sweep it names the jobs, unless all have it."""
        return [found.problem.line() + self._named(found) for found in self.wrong]

    def notes(self) -> Iterator[str]:
        """``not checked: vgg16__0 … vgg16__4 (5): model=vgg16: …``."""
        for found in self.unchecked:
            yield f"not checked: {spans(found.jobs, self.jobs)}: {found.problem.line()}"

    def prospects(self) -> list[str]:
        """``trajectory: 5 tensors, …``: what the jobs will leave that is worth knowing before."""
        return [found.problem.line() + self._named(found) for found in self.told]

    def raise_wrong(self) -> None:
        """Raise ``Refused`` when anything is wrong."""
        if self.wrong:
            raise Refused(self.lines(), found=self.wrong, jobs=self.jobs)

    def _named(self, found: Found) -> str:
        return "" if len(found.jobs) == len(self.jobs) else f"  [{spans(found.jobs, self.jobs)}]"


class Gathered:
    """Collects problems job by job; the same one of several jobs is told once."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[Problem, list[str]]] = {}

    def add(self, problems: Iterable[Problem], jobs: Sequence[str]) -> None:
        for problem in problems:
            _, names = self._found.setdefault(problem.line(), (problem, []))
            names.extend(name for name in jobs if name not in names)

    def __bool__(self) -> bool:
        return bool(self._found)

    def all(self) -> list[Found]:
        return [Found(problem, names) for problem, names in self._found.values()]


def spans(names: Sequence[str], among: Sequence[str]) -> str:
    """``vgg16__0 … vgg16__4 (5), lenet__3``: jobs that differ in the seed alone, and follow each other, as one span."""
    families: dict[str, list[str]] = {}
    for name in among:
        families.setdefault(SEED.sub("", name, count=1), []).append(name)
    places = {name: (number, place) for number, kin in enumerate(families.values()) for place, name in enumerate(kin)}
    ordered = sorted(dict.fromkeys(names), key=places.__getitem__)
    told = []
    for _, run in itertools.groupby(enumerate(ordered), lambda one: (places[one[1]][0], places[one[1]][1] - one[0])):
        span = [name for _, name in run]
        told += [f"{span[0]} … {span[-1]} ({len(span)})"] if len(span) >= SPAN else span
    return ", ".join(told)
