"""Optuna's study of a search: what it asks for, and what it is told.

What became of a trial stands in the folders of its runs; the study is told when they have ended. A trial that it has
asked for and was not told about is under way, whoever was killed when.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from runner.problem import Refused
from runner.search.plan import Plan
from runner.search.pruning import PRUNERS, load_optuna, pruner_of, rival
from runner.search.space import Params

SAMPLERS = {
    "tpe": "TPESampler",
    "random": "RandomSampler",
    "cmaes": "CmaEsSampler",
    "gp": "GPSampler",
    "nsgaii": "NSGAIISampler",
    "qmc": "QMCSampler",
}
SEQUENCES = ("qmc",)  # one sequence for all trials, which remembers where it is
DIRECTIONS = {"max": "maximize", "min": "minimize"}


@dataclass(frozen=True)
class Settings:
    """How to search: names and arguments of Optuna's sampler and pruner, and the seed of the sampler."""

    sampler: str
    pruner: str
    seed: int = 0
    sampler_options: Mapping[str, Any] = field(default_factory=dict)
    pruner_options: Mapping[str, Any] = field(default_factory=dict)

    def problems(self, plan: Plan) -> list[str]:
        """A line for each setting with which the search cannot be made. Raises ``ValueError`` without Optuna."""
        load_optuna()
        found = []
        try:
            self.sampler_at(0)
        except ValueError as error:
            found.append(str(error))
        try:
            pruner_of(self.pruner, self.pruner_options)
        except ValueError as error:
            found.append(str(error))
        prunes = self.pruner in PRUNERS and self.pruner != "none"
        if prunes and len(plan.metrics) > 1:
            found.append(f"hydra.sweeper.pruner={self.pruner}: judges by one metric; leave it out")
        if prunes and len(plan.space.seeds) > 1:
            text = (
                f"hydra.sweeper.pruner={self.pruner}: would leave the mean over the seeds to those that were not pruned"
            )
            found.append(f"{text}; take one seed, or leave it out")
        if self.sampler == "cmaes" and len(plan.metrics) > 1:
            found.append("hydra.sweeper.sampler=cmaes: searches by one metric; hydra.sweeper.sampler=nsgaii takes more")
        return found

    def sampler_at(self, number: int) -> Any:
        """The sampler of one trial, whose draws are a function of the seed and the trial's number.

        Raises ``ValueError`` for an unknown name, and for options that it does not take.
        """
        name, options = self.sampler, dict(self.sampler_options)
        if name not in SAMPLERS:
            raise ValueError(
                f"hydra.sweeper.sampler={name}: there is no such sampler; take one of {', '.join(SAMPLERS)}"
            )
        if name == "cmaes" and importlib.util.find_spec("cmaes") is None:
            raise ValueError("hydra.sweeper.sampler=cmaes needs the package cmaes; install runner[optuna]")
        optuna = load_optuna()
        make = getattr(optuna.samplers, SAMPLERS[name])
        known = list(inspect.signature(make).parameters)
        unknown = [key for key in options if key not in known or key == "seed"]
        if unknown:
            raise ValueError(f"hydra.sweeper.sampler_options: {name} takes no {', '.join(unknown)}; it takes {known}")
        drawn = hashlib.sha256(f"{self.seed} {0 if name in SEQUENCES else number}".encode()).digest()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            try:
                return make(seed=int.from_bytes(drawn[:4]), **options)
            except (TypeError, ValueError) as error:
                raise ValueError(f"hydra.sweeper.sampler_options={options}: {error}") from error


@dataclass(frozen=True)
class Asked:
    """A trial that is under way."""

    number: int
    params: Params


@dataclass(frozen=True)
class Told:
    """How a trial ended: its values by metric, its scores at each evaluation, or the reason why it has none."""

    state: Literal["complete", "pruned", "fail"]
    values: Sequence[float] = ()
    scores: Sequence[float] = ()  # of the metric, when there is one
    runs: Sequence[str] = ()  # names of their folders
    reason: str = ""


class Study:
    """The study of a plan, in its storage. ``close`` it."""

    def __init__(self, plan: Plan, folder: Path, settings: Settings) -> None:
        self._optuna = optuna = load_optuna()
        self._plan = plan
        self._settings = settings
        self._storage = optuna.storages.RDBStorage(plan.storage or f"sqlite:///{folder.absolute() / 'optuna.db'}")
        self._study = optuna.create_study(
            storage=self._storage,
            study_name=plan.study,
            load_if_exists=True,
            directions=[DIRECTIONS[direction] for direction in plan.directions.values()],
            pruner=pruner_of(settings.pruner, settings.pruner_options),
        )
        self._open: dict[int, Any] = {}

    def close(self) -> None:
        self._storage.remove_session()
        self._storage.engine.dispose()

    def trials(self) -> list[Any]:
        """Optuna's records of all trials, in the order of their numbers."""
        trials: list[Any] = self._study.get_trials(deepcopy=False)
        return trials

    def under_way(self) -> list[Asked]:
        """The trials that were asked for and not told about; one that was not asked for to the end is, now."""
        running = [trial for trial in self.trials() if trial.state == self._optuna.trial.TrialState.RUNNING]
        for trial in running:
            self._study.sampler = self._settings.sampler_at(trial.number)
            self._open.setdefault(trial.number, self._optuna.Trial(self._study, trial._trial_id))
        return [self._suggested(trial.number) for trial in running]

    def ask(self, count: int) -> list[Asked]:
        """The next trials, together: none of them knows how the others end."""
        asked = []
        for number in range(first := len(self.trials()), first + count):
            self._study.sampler = self._settings.sampler_at(number)
            trial = self._study.ask()
            self._open[trial.number] = trial
            asked.append(self._suggested(trial.number))
        return asked

    def _suggested(self, number: int) -> Asked:
        trial = self._open[number]
        return Asked(number, {one.name: one.suggested(trial) for one in self._plan.space.dimensions})

    def tell(self, asked: Asked, told: Told) -> None:
        trial = self._open.pop(asked.number)
        heard = self.trials()[asked.number].intermediate_values
        for step, score in enumerate(told.scores, start=1):
            if step not in heard:
                trial.report(score, step)
                trial.should_prune()  # leaves the rung that it has reached
        trial.set_user_attr("runs", list(told.runs))
        if told.reason:
            trial.set_user_attr("reason", told.reason)
        state = self._optuna.trial.TrialState[told.state.upper()]
        self._study.tell(trial, values=list(told.values) if told.state == "complete" else None, state=state)

    def pruning(self, number: int) -> dict[str, Any] | None:
        """The arguments of ``Pruning`` for a trial that is yet to run; None without a pruner."""
        if self._settings.pruner == "none":
            return None
        ((monitor, direction),) = self._plan.directions.items()
        return {
            "pruner": self._settings.pruner,
            "options": dict(self._settings.pruner_options),
            "monitor": monitor,
            "direction": DIRECTIONS[direction],
            "study": self._plan.study,
            "number": number,
            "rivals": [rival(trial) for trial in self.trials() if trial.number < number and trial.state.is_finished()],
        }

    def best(self) -> list[Any]:
        """Optuna's records of the best trial; with several metrics, of all that no other beats in each of them."""
        states = (self._optuna.trial.TrialState.COMPLETE,)
        if not self._study.get_trials(deepcopy=False, states=states):
            return []
        return [self._study.best_trial] if len(self._plan.metrics) == 1 else list(self._study.best_trials)


def new_study(storage: str, folder: Path) -> str:
    """The name of the search in ``folder``. Raises ``Refused`` where ``storage`` has it already."""
    name = str(folder.absolute())
    if exists(storage, name):
        raise Refused([f"hydra.sweeper.storage={storage}: holds a study {name} already; choose another folder"])
    return name


def exists(storage: str, study: str) -> bool:
    """Whether a storage that is not ours has such a study. Raises ``Refused`` when it cannot be asked."""
    optuna = load_optuna()
    try:
        opened = optuna.storages.RDBStorage(storage)
    except Exception as error:  # whatever its driver raises
        raise Refused([f"hydra.sweeper.storage={storage}: cannot be used: {error}"]) from error
    try:
        return study in optuna.study.get_all_study_names(opened)
    finally:
        opened.remove_session()
        opened.engine.dispose()
