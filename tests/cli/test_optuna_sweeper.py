"""Searches by command: checked, repeated, pruned, stopped anywhere and gone on with."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from cli.terminal import SMALL, Answer, Terminal

from hydra_plugins.runner_plugins._checked import CheckedSweeper
from runner.lock import holder
from runner.search.study import Study

LR = "optimizer.lr=tag(log,interval(1e-4,1e-1))"
SEARCH = ["trainer.best.loss=min", "hydra/sweeper=optuna", LR, "hydra.sweeper.report=false"]
STEPS = ["trainer.steps=3", "trainer.evaluate_every_steps=1", "trainer.save_every_steps=1"]


def searches(terminal: Terminal, *arguments: str, folder: str = "sweep", trials: int = 3) -> Answer:
    given = [*SEARCH, *STEPS, *arguments, f"hydra.sweeper.n_trials={trials}", f"hydra.sweep.dir={folder}"]
    return terminal.runs(*given, "-m")


def table(terminal: Terminal, folder: str = "sweep") -> list[dict[str, str]]:
    with (terminal.folder / folder / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def weights(terminal: Terminal, folder: str = "sweep") -> dict[str, str]:
    runs = [run for row in table(terminal, folder) for run in row["runs"].split()]
    return {run: terminal.manifest(f"{folder}/{run}")["weights_sha256"] for run in runs}


class TestRefused:
    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            (["optimizer.lr=0.1"], "there is nothing to search"),
            (["optimizer.lrr=interval(0,1)"], "optimizer.lrr"),
            pytest.param(["model.hidden=[4],[-1]"], "model.hidden", marks=pytest.mark.slow),
            (["hydra.sweeper.metric=f1", "hydra.sweeper.sampler=tpee"], "is not in trainer.best"),
            (["hydra.sweeper.n_trials=0", "hydra.sweeper.sampler=tpee"], "no such sampler"),
        ],
    )
    def test_before_anything_is_written(self, terminal: Terminal, arguments: list[str], text: str) -> None:
        answer = terminal.runs(*SEARCH, *arguments, "hydra.sweep.dir=sweep", "-m")
        assert (answer.status, terminal.left()) == (2, [])
        assert text in answer.err

    @pytest.mark.slow
    def test_check_says_what_would_be_searched(self, terminal: Terminal) -> None:
        answer = terminal.runs("check", *SMALL, *SEARCH, "seed=0,1", "hydra.sweep.dir=sweep", "-m", small=False)
        assert (answer.status, terminal.left()) == (0, [])
        told = "a search of 20 trials, 2 jobs each, over optimizer.lr; by valid/loss\ntask=classification goes with\n"
        assert answer.out.startswith(told)


@pytest.mark.slow
def test_a_search_from_its_first_trial_to_its_best(terminal: Terminal) -> None:
    """Seeds are one result, a choice is trained once, and more trials join."""
    answer = searches(terminal, "optimizer.lr=0.01,0.1", "seed=0,1", "model.hidden=[4],[8]", trials=6)
    assert (answer.status, answer.err) == (0, "")
    rows = table(terminal)
    names = {run for row in rows for run in row["runs"].split()}
    assert len({(row["optimizer.lr"], row["model.hidden"]) for row in rows}) < 6, "nothing was asked for twice"
    assert len(names) == 2 * len({(row["optimizer.lr"], row["model.hidden"]) for row in rows})
    for row in rows:
        bests = [terminal.manifest(f"sweep/{run}")["best"]["valid/loss"] for run in row["runs"].split()]
        assert float(row["valid/loss"]) == sum(bests) / 2
        for run in row["runs"].split():
            assert len(terminal.manifest(f"sweep/{run}")["sessions"]) == 1
    best = min(rows, key=lambda row: float(row["valid/loss"]))
    assert f"best: trial {best['trial']}  valid/loss {float(best['valid/loss']):.6g}" in answer.out
    assert f"  sweep/{best['runs'].split()[1]}" in answer.out
    more = terminal.runs("resume", "sweep", "hydra.sweeper.n_trials=7", small=False)
    assert (more.status, table(terminal)[:6], len(table(terminal))) == (0, rows, 7)
    again = terminal.runs("resume", "sweep", small=False)
    assert (again.status, len(table(terminal))) == (0, 7)
    assert terminal.runs("report", "sweep", "--no-pictures", small=False).status == 0
    refused = searches(terminal, "optimizer.lr=0.01,0.2", "seed=0,1", "model.hidden=[4],[8]", trials=6)
    assert refused.status == 2
    assert "holds another search, which differs in optimizer.lr=0.01,0.1, optimizer.lr=0.01,0.2" in refused.err


@pytest.mark.slow
def test_a_trial_is_what_its_command_alone_is(terminal: Terminal) -> None:
    searches(terminal, trials=1)
    (row,) = table(terminal)
    alone = [*STEPS, "trainer.best.loss=min", f"optimizer.lr={row['optimizer.lr']}", "hydra.run.dir=alone"]
    terminal.trains(*alone)
    one, other = terminal.manifest(f"sweep/{row['runs']}"), terminal.manifest("alone")
    for key in ("config", "config_digest", "weights_sha256", "metrics"):
        assert one[key] == other[key]


@pytest.mark.slow
def test_a_combination_that_cannot_be_run_fails_alone(terminal: Terminal) -> None:
    """7 lies between the corners."""
    picky = ["model._target_=cli.user_code.Picky", "~model.hidden", "~model.dropout", "+model.number=range(6,9)"]
    answer = searches(terminal, *picky, "optimizer.lr=0.1", "hydra.sweeper.sampler=random", trials=6)
    rows = table(terminal)
    assert {row["state"] for row in rows if row["model.number"] == "7"} == {"fail"}
    assert {row["state"] for row in rows if row["model.number"] != "7"} == {"complete"}
    assert "a number needs two digits" in answer.out
    assert answer.status == 0


@pytest.mark.slow
class TestStopped:
    def test_a_search_that_is_interrupted_in_every_trial_ends_as_one_that_was_not(self, terminal: Terminal) -> None:
        """With a pruner: whether a run is pruned is no matter of when."""
        prunes = ["hydra.sweeper.pruner=median", "hydra.sweeper.pruner_options.n_startup_trials=1"]
        searches(terminal, *prunes, folder="whole", trials=3)
        presses = ["+logger.mine._target_=cli.user_code.PressesCtrlC", "trainer.log_every_steps=1"]
        answer = searches(terminal, *prunes, *presses, "+logger.mine.step=1", trials=3)
        assert answer.status == 130
        assert "python -m runner resume sweep" in answer.err
        interruptions = 1
        while (answer := terminal.runs("resume", "sweep", small=False)).status == 130:
            interruptions += 1
        assert (answer.status, interruptions) == (0, 3)
        assert table(terminal) == table(terminal, "whole")
        assert weights(terminal) == weights(terminal, "whole")
        assert "pruned" in {row["state"] for row in table(terminal)}

    def test_wherever_it_is_stopped_no_trial_is_lost_or_trained_twice(
        self, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Two trials at once: as if killed before the next thing is on the disk, at four places of the second batch."""
        given = ["hydra.sweeper.n_jobs=2", "hydra.sweeper.sampler_options.n_startup_trials=1"]
        searches(terminal, *given, folder="whole", trials=4)
        for owner, name, call in (
            (CheckedSweeper, "_freeze", 3),  # the trials are asked for
            (CheckedSweeper, "_launch", 1),  # and frozen
            (Study, "tell", 1),  # and trained
            (Study, "tell", 2),  # and the first one is told
        ):
            with monkeypatch.context() as patch:
                patch.setattr(owner, name, stopping(getattr(owner, name), at=call))
                assert searches(terminal, *given, trials=4).status == 130
        answer = searches(terminal, *given, trials=4)
        assert answer.status == 0, answer.err
        assert table(terminal) == table(terminal, "whole")
        assert weights(terminal) == weights(terminal, "whole")
        for run in weights(terminal):
            assert len(terminal.manifest(f"sweep/{run}")["sessions"]) == 1


def stopping(method: Any, *, at: int) -> Any:
    """The method, at whose call number ``at`` nothing is done any more."""
    calls = 0

    def stopped(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            raise KeyboardInterrupt
        return method(*arguments, **named)

    return stopped


@pytest.mark.slow
def test_a_killed_search_of_a_pool_ends_as_one_of_a_single_process(terminal: Terminal) -> None:
    """Two jobs at once in processes of their own; the sweep is killed outright, and its jobs save and stop."""
    given = [*SEARCH, *STEPS, "trainer.steps=60", "hydra.sweeper.n_trials=3", "hydra.sweeper.n_jobs=2", "-m"]
    command = [sys.executable, "-m", "runner", *SMALL, *given, "hydra.sweeper.report=true", "hydra.sweep.dir=sweep"]
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    until_s = time.monotonic() + 240
    while not (states := list(Path("sweep").glob("*/checkpoints/last.pt"))):
        assert killed.poll() is None
        assert time.monotonic() < until_s
        time.sleep(0.02)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    while any(holder(state.parents[1]) for state in states):
        assert time.monotonic() < until_s
        time.sleep(0.05)
    resumed = terminal.runs("resume", "sweep", small=False)
    assert resumed.status == 0, resumed.err + resumed.out
    terminal.trains(*given, "hydra.sweep.dir=whole")
    assert table(terminal) == table(terminal, "whole")
    assert [row["state"] for row in table(terminal)] == ["complete"] * 3
    assert weights(terminal) == weights(terminal, "whole")
    assert Path("sweep/report.html").is_file()
