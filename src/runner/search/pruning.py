"""Ending a run that falls behind the trials before it. The judge is Optuna's; what it judges by lies in the folder.

A run's scores are compared with those of trials that had ended when it was planned. So whether it is pruned is a
function of its folder, and a run that was interrupted is pruned where it would have been.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runner.results.manifest import read_json, write_json
from runner.stopping import Stopping

NAME = "pruning.json"
PRUNED = "pruned by "  # begins the reason of a run that was
PRUNERS = {
    "none": "NopPruner",
    "median": "MedianPruner",
    "percentile": "PercentilePruner",
    "hyperband": "HyperbandPruner",
    "successive_halving": "SuccessiveHalvingPruner",
}


def load_optuna() -> Any:
    """The package, which then tells of nothing but trouble. Raises ``ValueError`` where it is not installed."""
    try:
        import optuna
    except ImportError as error:
        raise ValueError("hydra/sweeper=optuna needs the package optuna; install runner[optuna]") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def pruner_of(name: str, options: Mapping[str, Any]) -> Any:
    """One of PRUNERS. Raises ``ValueError`` for another name, and for options that it does not take."""
    if name not in PRUNERS:
        raise ValueError(f"hydra.sweeper.pruner={name}: there is no such pruner; choose one of {', '.join(PRUNERS)}")
    try:
        return getattr(load_optuna().pruners, PRUNERS[name])(**options)
    except (TypeError, ValueError) as error:
        if isinstance(error, ValueError) and "runner[optuna]" in str(error):
            raise
        raise ValueError(f"hydra.sweeper.pruner_options={dict(options)}: {error}") from error


def write(folder: Path, content: Mapping[str, Any]) -> None:
    """Leave in a run's folder what ``rules_of`` reads: the arguments of ``Pruning``."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / NAME, content)


def rules_of(folder: Path) -> dict[str, Stopping]:
    """The rule of a run that is a trial of a search with a pruner; none for any other."""
    content = read_json(folder / NAME)
    return {"hydra.sweeper.pruner": Pruning(**content)} if content else {}


class Pruning:
    """Ends a run when a pruner says so that has seen ``rivals``, the trials before it, in the order of their numbers.

    The ``number`` of the trial and the name of its ``study`` are what Hyperband draws its bracket from.
    """

    def __init__(
        self,
        *,
        pruner: str,
        options: Mapping[str, Any],
        monitor: str,
        direction: str,
        study: str,
        number: int,
        rivals: Sequence[Mapping[str, Any]],
    ) -> None:
        self.monitor = monitor
        self._pruner = pruner
        self._values: list[float] = []
        optuna = load_optuna()
        made = optuna.create_study(study_name=study, direction=direction, pruner=pruner_of(pruner, options))
        known = {rival["number"]: rival for rival in rivals}
        nothing: dict[str, Any] = {
            "state": "FAIL",
            "value": None,
            "scores": [],
            "rungs": {},
        }  # it runs beside, or failed
        made.add_trials(_trial(optuna, known.get(place, nothing)) for place in range(number))
        self._trial = made.ask()
        assert self._trial.number == number

    def evaluated(self, scores: Mapping[str, float]) -> str:
        """Raises ``ValueError`` when ``monitor`` was not measured."""
        if self.monitor not in scores:
            raise ValueError(f"the pruner follows {self.monitor}, which was not measured; there are: {list(scores)}")
        if not self._falls_behind(scores[self.monitor]):
            return ""
        return f"{PRUNED}{self._pruner} at evaluation {len(self._values)}: {self.monitor} {self._values[-1]:.6g}"

    def _falls_behind(self, value: float) -> bool:
        self._values.append(value)
        self._trial.report(value, step=len(self._values))
        return bool(self._trial.should_prune())

    def state_dict(self) -> dict[str, Any]:
        return {"values": list(self._values)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Before the first evaluation only. The pruner is told again what it has judged."""
        assert not self._values
        for value in state["values"]:
            self._falls_behind(value)


def rival(trial: Any) -> dict[str, Any]:
    """A finished trial of Optuna's, as ``Pruning`` takes it."""
    rungs = {key: value for key, value in trial.system_attrs.items() if key.startswith("completed_rung_")}
    scores = [trial.intermediate_values[step] for step in sorted(trial.intermediate_values)]
    return {
        "number": trial.number,
        "state": trial.state.name,
        "value": trial.value,
        "scores": scores,
        "rungs": rungs,
    }


def _trial(optuna: Any, rival: Mapping[str, Any]) -> Any:
    return optuna.trial.create_trial(
        state=optuna.trial.TrialState[rival["state"]],
        value=rival["value"],
        intermediate_values=dict(enumerate(rival["scores"], start=1)),
        system_attrs=dict(rival["rungs"]),
    )
