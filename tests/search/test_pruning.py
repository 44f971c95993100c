"""Runs that are ended because they fall behind the trials before them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest

from runner.search import pruning
from runner.search.pruning import PRUNED, PRUNERS, Pruning, pruner_of, rival

SCORES = [[0.5, 0.6, 0.7, 0.8], [0.4, 0.5, 0.6, 0.7], [0.45, 0.55, 0.65, 0.75], [0.1, 0.1, 0.1, 0.1]]


def study_of(pruner: str, options: dict[str, Any]) -> optuna.Study:
    """Three trials that have completed, in Optuna's own hands."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    made = optuna.create_study(study_name="search", direction="maximize", pruner=pruner_of(pruner, options))
    for scores in SCORES[:3]:
        trial = made.ask()
        for step, score in enumerate(scores, start=1):
            trial.report(score, step)
            trial.should_prune()
        made.tell(trial, max(scores))
    return made


def rule_of(study: optuna.Study, pruner: str, options: dict[str, Any]) -> Pruning:
    """The rule of the next trial, through a file's worth of plain values."""
    return Pruning(
        pruner=pruner,
        options=options,
        monitor="valid/accuracy",
        direction="maximize",
        study="search",
        number=3,
        rivals=[rival(trial) for trial in study.trials],
    )


OPTIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "median": {"n_startup_trials": 2},
    "percentile": {"percentile": 75.0, "n_startup_trials": 2},
    "hyperband": {"max_resource": 4, "reduction_factor": 2},
    "successive_halving": {"reduction_factor": 2},
}


@pytest.mark.parametrize("pruner", PRUNERS)
@pytest.mark.parametrize("scores", [SCORES[0], SCORES[2], SCORES[3]])
def test_the_rule_says_what_optuna_says_of_its_own_study(pruner: str, scores: list[float]) -> None:
    study = study_of(pruner, OPTIONS[pruner])
    rule, trial = rule_of(study, pruner, OPTIONS[pruner]), study.ask()
    for step, score in enumerate(scores, start=1):
        trial.report(score, step)
        assert bool(rule.evaluated({"valid/accuracy": score})) == trial.should_prune()


def test_a_run_that_falls_behind_is_ended_with_the_reason() -> None:
    rule = rule_of(study_of("median", OPTIONS["median"]), "median", OPTIONS["median"])
    assert rule.evaluated({"valid/accuracy": 0.46}) == ""
    assert rule.evaluated({"valid/accuracy": 0.47}) == f"{PRUNED}median at evaluation 2: valid/accuracy 0.47"


@pytest.mark.parametrize("pruner", ["median", "successive_halving"])
def test_a_run_that_goes_on_is_judged_as_if_it_had_not_stopped(pruner: str) -> None:
    study, scores = study_of(pruner, OPTIONS[pruner]), [0.9, 0.9, 0.2, 0.2]
    whole, first = (rule_of(study, pruner, OPTIONS[pruner]) for _ in range(2))
    said = [whole.evaluated({"valid/accuracy": score}) for score in scores]
    for score in scores[:2]:
        first.evaluated({"valid/accuracy": score})
    second = rule_of(study, pruner, OPTIONS[pruner])
    second.load_state_dict(first.state_dict())
    assert [second.evaluated({"valid/accuracy": score}) for score in scores[2:]] == said[2:]


def test_what_was_not_measured() -> None:
    rule = rule_of(study_of("none", {}), "none", {})
    with pytest.raises(ValueError, match="follows valid/accuracy, which was not measured; there are: "):
        rule.evaluated({"valid/loss": 1.0})


def test_trials_that_are_not_known_leave_their_numbers() -> None:
    """Hyperband draws a trial's bracket from its number: those that run beside it must be counted."""
    known = [rival(trial) for trial in study_of("none", {}).trials][:1]
    settings: dict[str, Any] = {"pruner": "none", "options": {}, "monitor": "m", "direction": "minimize"}
    assert Pruning(**settings, study="search", number=5, rivals=known)._trial.number == 5


def test_the_rule_lies_in_the_folder_of_its_run(tmp_path: Path) -> None:
    assert pruning.rules_of(tmp_path) == {}
    content = {"pruner": "none", "options": {}, "monitor": "m", "direction": "minimize", "study": "s", "number": 0}
    pruning.write(tmp_path / "run", content | {"rivals": []})
    (rule,) = pruning.rules_of(tmp_path / "run").values()
    assert rule.monitor == "m"


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [("medium", {}, "there is no such pruner; choose one of none, median"), ("median", {"steps": 1}, "pruner_options")],
)
def test_pruners_that_cannot_be_made(name: str, options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        pruner_of(name, options)
