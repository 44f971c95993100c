"""What a search may choose from: the sweeps of a command line as dimensions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.problem import Refused

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override, Sweep
    from optuna import Trial

Params = Mapping[str, Any]
"""A value for each dimension, by its name."""


@dataclass(frozen=True)
class Dimension:
    """One key: a choice of texts as the command line has them, or numbers from ``low`` to ``high``, both included."""

    key: str  # as it was written: "optimizer.lr", "+model.width"
    group: bool = False  # the key of a config group: "model"
    choices: Sequence[str] = ()
    low: float | int | None = None
    high: float | int | None = None
    step: float | int | None = None
    log: bool = False

    @property
    def name(self) -> str:
        return self.key.lstrip("+~")

    def suggested(self, trial: Trial) -> Any:
        """What the sampler of the trial's study says; again the same for the same trial."""
        if self.choices:
            return trial.suggest_categorical(self.name, list(self.choices))
        assert self.low is not None
        assert self.high is not None
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(self.name, self.low, self.high, step=int(self.step or 1), log=self.log)
        return trial.suggest_float(self.name, self.low, self.high, step=self.step, log=self.log)

    def override(self, value: Any) -> str:
        """``optimizer.lr=0.1``; the same number is read from it."""
        return f"{self.key}={value if self.choices else repr(value)}"

    def shown(self, value: Any) -> str:
        """The value for people."""
        return f"{value:.6g}" if isinstance(value, float) else str(value)

    @property
    def corners(self) -> Sequence[Any]:
        return self.choices or (self.low, self.high)


@dataclass(frozen=True)
class Space:
    """The dimensions of a search, what all its trials have in common, and the seeds that each of them trains."""

    dimensions: Sequence[Dimension]
    fixed: Sequence[str] = ()  # overrides
    seeds: Sequence[str] = ()  # empty: the one that ``fixed`` or the configuration has

    def overrides(self, params: Params) -> list[list[str]]:
        """Those of each job of a trial: one for each seed."""
        own = [*self.fixed, *(one.override(params[one.name]) for one in self.dimensions)]
        return [[*own, f"seed={seed}"] for seed in self.seeds] or [own]

    def options(self) -> Iterator[tuple[str, ...]]:
        """The overrides that choose options of groups, in each combination: ``("model=mlp", "optimizer=sgd")``."""
        groups = [one for one in self.dimensions if one.group]
        yield from itertools.product(*([one.override(choice) for choice in one.choices] for one in groups))

    def options_of(self, params: Params) -> tuple[str, ...]:
        return tuple(one.override(params[one.name]) for one in self.dimensions if one.group)

    def values_of(self, params: Params) -> list[str]:
        return [one.override(params[one.name]) for one in self.dimensions if not one.group]

    def corners(self) -> Iterator[Params]:
        """For each combination of options: all numbers at their least and at their most, and each choice once."""
        groups = [one for one in self.dimensions if one.group]
        others = [one for one in self.dimensions if not one.group]
        low, high = ({one.name: one.corners[place] for one in others} for place in (0, -1))
        points = [low, high, *(low | {one.name: choice} for one in others for choice in one.choices[1:])]
        distinct = [point for place, point in enumerate(points) if point not in points[:place]]
        for options in itertools.product(*(one.choices for one in groups)):
            chosen = dict(zip((one.name for one in groups), options, strict=True))
            yield from (chosen | point for point in distinct)


def space_of(overrides: Sequence[Override], *, is_group: Callable[[str], bool]) -> Space:
    """From a parsed command line; the last override of a key counts. Raises ``Refused`` for what cannot be searched."""
    last = {override.key_or_group: override for override in overrides}
    dimensions, fixed, seeds, lines = [], [], [], []
    for key, override in last.items():
        if not override.is_sweep_override():
            fixed.append(str(override.input_line))
            continue
        dimension = _dimension(override, group=is_group(key))
        problem = _problem(dimension)
        if key == "seed":
            seeds = _seeds(dimension)
            problem = "" if seeds else "each trial trains all seeds, so they must be listed; seed=0,1,2"
        elif not problem:
            dimensions.append(dimension)
        if problem:
            lines.append(f"{override.input_line}: {problem}")
    if not (dimensions or lines):
        text = "hydra/sweeper=optuna: there is nothing to search"
        lines = [f"{text}; give a key more than one value: optimizer.lr='tag(log, interval(1e-4, 1e-1))'"]
    if lines:
        raise Refused(lines)
    return Space(dimensions, fixed, seeds)


def _dimension(override: Override, *, group: bool) -> Dimension:
    from hydra.core.override_parser.types import IntervalSweep, RangeSweep

    value: Sweep = override.value()  # type: ignore[assignment]
    key, log = override.get_key_element(), "log" in value.tags
    if isinstance(value, IntervalSweep):
        low, high = value.start, value.end
        assert low is not None
        assert high is not None
        if "int" in value.tags:
            low, high = int(low), int(high)
        return Dimension(key, group, low=low, high=high, log=log)
    if isinstance(value, RangeSweep):
        numbers: list[Any] = list(value.range())
        if not numbers:
            return Dimension(key, group)
        return Dimension(key, group, low=min(numbers), high=max(numbers), step=abs(value.step), log=log)
    if hasattr(value, "shuffle"):
        value.shuffle = False  # the sampler decides the order
    return Dimension(key, group, tuple(dict.fromkeys(override.sweep_string_iterator())))


def _problem(one: Dimension) -> str:
    if one.choices:
        return ""
    if one.group:
        return f"{one.name} takes an option by name; list the options"
    if one.low is None or one.high is None or one.low > one.high:
        return "holds no value; give the lower end first"
    if one.log and one.low <= 0:
        return "a logarithm needs numbers above 0"
    if one.log and one.step is not None:
        return "a range has equal steps; use tag(log, interval(…)), or tag(log, int(interval(…)))"
    return ""


def _seeds(one: Dimension) -> list[str]:
    if one.choices:
        return list(one.choices)
    if isinstance(one.low, int) and isinstance(one.high, int) and one.step is not None:
        return [str(seed) for seed in range(one.low, one.high + 1, int(one.step))]
    return []
