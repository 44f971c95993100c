"""From trials to jobs, and from what their folders hold to what a trial scored."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from runner.config.naming import run_name
from runner.durable import appearing, sync_folder
from runner.results.recorded import read_run
from runner.search.plan import Plan
from runner.search.pruning import PRUNED
from runner.search.space import Params
from runner.search.study import Told
from runner.sweep.jobs import shortened
from runner.sweep.ledger import State, state_of

TABLE = "trials.csv"


def name_of(plan: Plan, params: Params, seed: int, *, others: Mapping[str, Any] | set[str]) -> str:
    """``mlp__0__lr=0.00316``: numbers in six digits, or in all where ``others`` has that name already."""
    model = plan.base(params).choices.get("model", "model")
    named = [one for one in plan.space.dimensions if one.name != "model"]
    short = shortened([one.name for one in named])
    name = run_name(model, seed, {short[one.name]: one.shown(params[one.name]) for one in named})
    if name.casefold() not in {other.casefold() for other in others}:
        return name
    return run_name(model, seed, {short[one.name]: str(params[one.name]) for one in named})


def outcome(folders: Sequence[Path], metrics: Sequence[str]) -> Told | None:
    """What the runs of a trial came to, their mean over the seeds; None while one of them can go on."""
    states = [state_of(folder) for folder in folders]
    runs = [folder.name for folder in folders]
    failed = next((state for state in states if state.state == "failed"), None)
    if any(state.state not in ("completed", "failed") for state in states):
        return None
    if failed is not None:
        return Told("fail", runs=runs, reason=failed.reason)
    scores = _scores(folders, metrics[0]) if len(metrics) == 1 else []
    pruned = next((state.reason for state in states if state.reason.startswith(PRUNED)), "")
    if pruned:
        return Told("pruned", scores=scores, runs=runs, reason=pruned)
    bests = [[_best(state, metric) for state in states] for metric in metrics]
    lacking = [metric for metric, values in zip(metrics, bests, strict=True) if None in values]
    if lacking:
        return Told("fail", scores=scores, runs=runs, reason=f"{', '.join(lacking)} was never a number")
    return Told("complete", [fmean(value for value in values if value is not None) for values in bests], scores, runs)


def _best(state: State, metric: str) -> float | None:
    value = state.manifest.get("best", {}).get(metric)
    return None if value is None else float(value)


def _scores(folders: Sequence[Path], metric: str) -> list[float]:
    """At each evaluation, as far as all seeds have come."""
    runs = [[one.metrics[metric] for one in read_run(folder).evaluations.values() if one.step] for folder in folders]
    return [fmean(values) for values in zip(*runs, strict=False)]


def write_table(folder: Path, plan: Plan, trials: Sequence[Any]) -> None:
    """One row for each trial of Optuna's."""
    names = [one.name for one in plan.space.dimensions]
    with appearing(folder / TABLE) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["trial", "state", *plan.metrics, *names, "evaluations", "runs", "reason"])
        for trial in trials:
            values = trial.values if trial.state.name == "COMPLETE" else [""] * len(plan.metrics)
            params = [trial.params.get(name, "") for name in names]
            runs, reason = (trial.user_attrs.get(key, "") for key in ("runs", "reason"))
            evaluations = len(trial.intermediate_values)
            writer.writerow(
                [trial.number, trial.state.name.lower(), *values, *params, evaluations, *(" ".join(runs), reason)]
            )
    sync_folder(folder)


def told(plan: Plan, number: int, params: Params, end: Told) -> str:
    """``trial 3: valid/accuracy 0.91  optimizer.lr=0.01``."""
    values = "  ".join(f"{metric} {value:.6g}" for metric, value in zip(plan.metrics, end.values, strict=False))
    reason = (end.reason or "it says no more").splitlines()[0]
    how = values or (reason if end.state == "pruned" else f"failed: {reason}")
    return f"trial {number}: {how}  {settings(plan, params)}"


def settings(plan: Plan, params: Params) -> str:
    return " ".join(f"{one.name}={one.shown(params[one.name])}" for one in plan.space.dimensions)


def summary(plan: Plan, folder: Path, trials: Sequence[Any], best: Sequence[Any]) -> list[str]:
    """How many trials ended how, and the best: its values, its parameters in full, and its folders."""
    words = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "under way"}
    states = Counter(trial.state.name for trial in trials)
    lines = [
        f"{len(trials)} trials: " + ", ".join(f"{states[key]} {word}" for key, word in words.items() if states[key])
    ]
    for trial in best:
        values = "  ".join(f"{metric} {value:.6g}" for metric, value in zip(plan.metrics, trial.values, strict=True))
        lines.append(f"best: trial {trial.number}  {values}")
        lines += [f"  {one.override(trial.params[one.name])}" for one in plan.space.dimensions]
        lines += [f"  {folder / run}" for run in trial.user_attrs["runs"]]
    return lines
