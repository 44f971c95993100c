"""The best few: which files there are, and that they are those of the ranking whenever a run is killed."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
from torch import nn

from runner.best_files import BESIDE, BestFiles
from runner.checkpoint import FolderCheckpoints, Stateful, read
from runner.metrics import Metrics, factories
from runner.state import State

LOSSES = [5.0, 4.0, 4.5, 4.0, 3.0, 4.2, 2.0, 1.0]  # at steps 1, 2, …
ACCURACIES = [0.1, 0.3, 0.2, 0.3, 0.4, 0.4, 0.1, float("nan")]


class Evaluated:
    """A training of which nothing is left but evaluations at each step, with scores and weights known before."""

    def __init__(self, folder: Path, *, keep_best: int = 2) -> None:
        self.task, self.state = nn.Linear(1, 1), State({"valid/loss": "min", "valid/accuracy": "max"}, keep_best)
        parts: dict[str, Stateful] = {"task": self.task, "state": self.state}
        self.kept = FolderCheckpoints(folder, parts, ranked=self.state.ranked_steps)
        self.kept.restore()

    def go(self, last_step: int = len(LOSSES)) -> None:
        """Saved at every third step and at the end."""
        while self.state.step < last_step:
            self.evaluate()
            if self.state.step % 3 == 0:
                self.kept.save(self.state.step)
        self.kept.save(self.state.step)

    def evaluate(self) -> None:
        """One more step, which sets all weights to its number."""
        step = self.state.step = self.state.step + 1
        for weight in self.task.parameters():
            nn.init.constant_(weight, step)
        scores = {"valid/loss": LOSSES[step - 1], "valid/accuracy": ACCURACIES[step - 1]}
        self.kept.save_best(step, self.state.judge(scores))


def tree(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def steps_of(folder: Path) -> dict[str, int]:
    """Of each best file; the weights are those of that step."""
    found = {file.name: read(file) for file in sorted(folder.glob("best_*.pt"))}
    assert all(content["task"]["weight"].item() == content["step"] for content in found.values())
    return {name: content["step"] for name, content in found.items()}


def ranked_files(state: State) -> dict[str, int]:
    """What a folder holds when nothing but the ranking is in it."""
    return {
        f"best_{metric.removeprefix('valid/')}{f'.step_{step:08d}' if place else ''}.pt": step
        for metric, steps in state.ranked_steps().items()
        for place, step in enumerate(steps)
    }


def test_the_best_has_the_plain_name_and_the_next_lie_beside_it(tmp_path: Path) -> None:
    one = Evaluated(tmp_path, keep_best=3)
    one.go()
    assert steps_of(tmp_path) == {
        "best_accuracy.pt": 5,
        "best_accuracy.step_00000002.pt": 2,
        "best_accuracy.step_00000006.pt": 6,
        "best_loss.pt": 8,
        "best_loss.step_00000005.pt": 5,
        "best_loss.step_00000007.pt": 7,
    }
    assert read(tmp_path / "best_loss.step_00000005.pt")["metrics"] == {"valid/loss": 3.0, "valid/accuracy": 0.4}


def test_one_is_kept_unless_more_are_asked_for(tmp_path: Path) -> None:
    tiny.session(folder=tmp_path, best={"loss": "min"}).train()
    assert {file.name for file in tmp_path.iterdir()} == {"last.pt", "previous.pt", "best_loss.pt"}


def test_fewer_are_kept_when_a_run_goes_on_with_fewer(tmp_path: Path) -> None:
    Evaluated(tmp_path, keep_best=3).go()
    Evaluated(tmp_path, keep_best=1)
    assert steps_of(tmp_path) == {"best_accuracy.pt": 5, "best_loss.pt": 8}


class Killed(BaseException):
    """No ``finally`` may change a file after it."""


def dying(monkeypatch: pytest.MonkeyPatch, lives: int) -> Callable[[], int]:
    """Names can be changed ``lives`` times, then nothing happens any more. How often they were is the answer."""
    calls = 0

    def counted(change: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls > lives:
                raise Killed
            return change(*args, **kwargs)

        return called

    for name in ("link", "replace", "unlink"):
        monkeypatch.setattr(os, name, counted(getattr(os, name)))
    return lambda: calls


def killed(folder: Path, lives: int, **settings: Any) -> bool:
    """Whether the training came to its end before it was killed."""
    with pytest.MonkeyPatch.context() as patch:
        dying(patch, lives)
        try:
            Evaluated(folder, **settings).go()
        except Killed:
            return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("keep_best", [1, 2])
def test_killed_at_any_change_of_a_name(tmp_path: Path, keep_best: int) -> None:
    """The best is whole at once, the files are those of the restored ranking, and at the end they are the same."""
    Evaluated(tmp_path / "whole", keep_best=keep_best).go()
    lives = 0
    while not killed(folder := tmp_path / str(lives), lives, keep_best=keep_best):
        before = steps_of(folder)
        resumed = Evaluated(folder, keep_best=keep_best)
        if resumed.state.step:
            assert steps_of(folder) == ranked_files(resumed.state)
        assert {name for name in before if BESIDE not in name} <= set(steps_of(folder))
        resumed.go()
        assert tree(folder) == tree(tmp_path / "whole"), f"killed after {lives} changes"
        lives += 1
    assert lives >= 30


def beaten(folder: Path) -> None:
    """Killed after step 8, with the state of step 6 on the disk, whose best evaluation two have beaten since."""
    one = Evaluated(folder, keep_best=1)
    one.go(6)
    one.evaluate()
    one.evaluate()
    assert steps_of(folder)["best_loss.pt"] == 8


def test_a_future_that_may_not_come_again_leaves_nothing(tmp_path: Path) -> None:
    """Whoever goes on with another budget makes other steps."""
    beaten(tmp_path)
    Evaluated(tmp_path, keep_best=1)
    assert steps_of(tmp_path) == {"best_accuracy.pt": 5, "best_loss.pt": 5}


@pytest.mark.parametrize("guard", ["restored", "saved"])
def test_which_can_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, guard: str) -> None:
    """The guards: what the saved state ranks stays until the next one is saved, and is put back from there."""
    monkeypatch.setattr(BestFiles, guard, lambda *_: None)
    beaten(tmp_path)
    Evaluated(tmp_path, keep_best=1)
    assert steps_of(tmp_path)["best_loss.pt"] == 8


def test_where_a_file_has_one_name_only_it_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Evaluated(tmp_path / "linked").go()

    def refused(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refused)
    Evaluated(tmp_path / "copied").go()
    assert tree(tmp_path / "copied") == tree(tmp_path / "linked")


@pytest.mark.parametrize("ema_decay", [None, 0.5])
def test_interrupted_is_uninterrupted_byte_by_byte(tmp_path: Path, ema_decay: float | None) -> None:
    """A real training, by two metrics, without moving averages and with."""

    def trained(folder: Path, until_steps: int | None = None) -> None:
        metrics = Metrics({"accuracy": factories.accuracy(num_classes=tiny.CLASSES)})
        best = {"loss": "max", "accuracy": "max"}
        made = tiny.session(folder=folder, best=best, keep_best=2, ema_decay=ema_decay, metrics=metrics)
        made.plan = made.plan.until(until_steps)
        made.train()

    trained(tmp_path / "whole")
    for stop in (5, 7, 12, None):
        trained(tmp_path / "resumed", stop)
    best = {file.name: file.read_bytes() for file in (tmp_path / "whole").glob("best_*")}
    assert best == {file.name: file.read_bytes() for file in (tmp_path / "resumed").glob("best_*")}
    assert len(best) == 4
