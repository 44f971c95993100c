"""From trials to folders and back to scores."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import optuna
import pytest

from runner.search.jobs import name_of, outcome, summary, told, write_table
from runner.search.plan import Base, Plan
from runner.search.pruning import PRUNED
from runner.search.space import Dimension, Space
from runner.search.study import Told

SPACE = Space([Dimension("model", True, ("mlp",)), Dimension("optimizer.lr", low=0.0, high=1.0)])
PLAN = Plan([], {"valid/loss": "min"}, "search", None, SPACE, [Base(["model=mlp"], {"model": "mlp"}, "")])
PARAMS = {"model": "mlp", "optimizer.lr": 1 / 3}


def left(folder: Path, state: str = "completed", *, best: float | None = 0.5, reason: str = "") -> Path:
    folder.mkdir()
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "config.yaml").write_text("seed: 0\n")
    status = {"state": state, "reason": reason, "step": 2}
    (folder / "status.json").write_text(json.dumps(status))
    known = {} if best is None else {"valid/loss": best}
    (folder / "manifest.json").write_text(json.dumps({"best": known}))
    lines = [{"step": step, "weights_sha256": "", "metrics": {"valid/loss": (best or 0) + 2 - step}} for step in (1, 2)]
    start = {"step": 0, "weights_sha256": "", "metrics": {}}
    (folder / "digests.jsonl").write_text("".join(json.dumps(line) + "\n" for line in [start, *lines]))
    return folder


class TestOutcome:
    def test_the_mean_over_the_seeds_of_the_best_scores(self, tmp_path: Path) -> None:
        runs = [left(tmp_path / name, best=best) for name, best in (("a", 0.5), ("b", 1.0))]
        assert outcome(runs, ["valid/loss"]) == Told("complete", [0.75], [1.75, 0.75], ["a", "b"])

    def test_a_run_that_was_pruned(self, tmp_path: Path) -> None:
        end = outcome([left(tmp_path / "a", reason=f"{PRUNED}median")], ["valid/loss"])
        assert end == Told("pruned", (), [1.5, 0.5], ["a"], f"{PRUNED}median")

    def test_early_stopping_is_no_pruning(self, tmp_path: Path) -> None:
        end = outcome([left(tmp_path / "a", reason="valid/loss is no better")], ["valid/loss"])
        assert end is not None
        assert end.state == "complete"

    @pytest.mark.parametrize("state", ["interrupted", "running"])
    def test_a_run_that_can_go_on_is_awaited_whatever_the_others_did(self, tmp_path: Path, state: str) -> None:
        runs = [left(tmp_path / "a"), left(tmp_path / "b", "failed"), left(tmp_path / "c", state)]
        assert outcome(runs, ["valid/loss"]) is None
        assert outcome([tmp_path / "missing"], ["valid/loss"]) is None

    def test_a_run_that_failed(self, tmp_path: Path) -> None:
        end = outcome([left(tmp_path / "a"), left(tmp_path / "b", "failed", reason="no memory")], ["valid/loss"])
        assert end == Told("fail", runs=["a", "b"], reason="no memory")

    def test_a_score_that_was_never_a_number(self, tmp_path: Path) -> None:
        end = outcome([left(tmp_path / "a", best=None)], ["valid/loss"])
        assert end is not None
        assert (end.state, end.reason) == ("fail", "valid/loss was never a number")


def test_names_are_short_until_they_would_be_shared() -> None:
    short = name_of(PLAN, PARAMS, 0, others=set())
    assert short == "mlp__0__lr=0.333333"
    assert name_of(PLAN, PARAMS, 0, others={short.upper()}) == "mlp__0__lr=0.3333333333333333"


def trial(number: int, state: str, **more: Any) -> Any:
    distributions: dict[str, Any] = {
        "model": optuna.distributions.CategoricalDistribution(["mlp"]),
        "optimizer.lr": optuna.distributions.FloatDistribution(0, 1),
    }
    made = optuna.trial.create_trial(
        state=optuna.trial.TrialState[state], params=PARAMS, distributions=distributions, **more
    )
    made.number = number
    return made


def test_the_table_of_trials(tmp_path: Path) -> None:
    trials = [
        trial(0, "COMPLETE", value=0.25, intermediate_values={1: 0.3}, user_attrs={"runs": ["a", "b"]}),
        trial(1, "PRUNED", value=0.1, user_attrs={"runs": ["c"], "reason": "pruned by median"}),
        trial(2, "RUNNING"),
    ]
    write_table(tmp_path, PLAN, trials)
    with (tmp_path / "trials.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["trial", "state", "valid/loss", "model", "optimizer.lr", "evaluations", "runs", "reason"]
    assert rows == [
        ["0", "complete", "0.25", "mlp", str(1 / 3), "1", "a b", ""],
        ["1", "pruned", "", "mlp", str(1 / 3), "0", "c", "pruned by median"],
        ["2", "running", "", "mlp", str(1 / 3), "0", "", ""],
    ]


def test_what_is_said(tmp_path: Path) -> None:
    best = trial(0, "COMPLETE", value=0.25, user_attrs={"runs": ["a", "b"]})
    assert summary(PLAN, tmp_path, [best, trial(1, "FAIL"), trial(2, "RUNNING")], [best]) == [
        "3 trials: 1 complete, 1 failed, 1 under way",
        "best: trial 0  valid/loss 0.25",
        "  model=mlp",
        f"  optimizer.lr={1 / 3}",
        f"  {tmp_path / 'a'}",
        f"  {tmp_path / 'b'}",
    ]
    settings = "model=mlp optimizer.lr=0.333333"
    assert told(PLAN, 3, PARAMS, Told("complete", [0.5])) == f"trial 3: valid/loss 0.5  {settings}"
    assert told(PLAN, 3, PARAMS, Told("fail", reason="no memory\nat all")) == f"trial 3: failed: no memory  {settings}"
    assert told(PLAN, 3, PARAMS, Told("pruned", reason="pruned by x")) == f"trial 3: pruned by x  {settings}"
