"""Whether a run can go on in its folder, asked before anything is written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from runner.checkpoint import FORMAT, write_whole
from runner.lock import held
from runner.preflight import Job, check
from runner.preflight.resume import data_problems, resume_problems

Changed = Callable[..., DictConfig]
STEPS_PER_EPOCH = 2


@pytest.fixture
def run(composed: DictConfig, tmp_path: Path) -> Path:
    """A run of 2 epochs, killed at step 3, with checkpoints of the steps 2 and 3."""
    folder = tmp_path / "run"
    (folder / ".hydra").mkdir(parents=True)
    (folder / "checkpoints").mkdir()
    saved = composed.copy()
    saved.trainer.steps, saved.trainer.epochs = None, 2
    (folder / ".hydra/config.yaml").write_text(OmegaConf.to_yaml(saved))
    write_checkpoint(folder, "previous", 2)
    write_checkpoint(folder, "last", 3)
    record(folder, "running", step=0)
    return folder


def write_checkpoint(folder: Path, name: str, step: int) -> None:
    write_whole(folder / f"checkpoints/{name}.pt", {"format": FORMAT, "step": step})


def record(folder: Path, state: str, *, step: int, reason: str = "", **facts: Any) -> None:
    (folder / "status.json").write_text(json.dumps({"state": state, "reason": reason, "step": step}))
    (folder / "manifest.json").write_text(json.dumps({"steps_per_epoch": STEPS_PER_EPOCH, **facts}))


def told(folder: Path, cfg: DictConfig) -> list[str]:
    return [problem.line().replace(str(folder), "RUN") for problem in resume_problems(folder, cfg)]


@pytest.fixture
def going_on(changed: Changed, run: Path) -> Callable[..., list[str]]:
    """What stands against going on with ``run`` with other values."""

    def find(values: dict[str, Any]) -> list[str]:
        return told(run, changed({"trainer.steps": None, "trainer.epochs": 2, **values}))

    return find


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"trainer.epochs": 5},
        {"trainer.epochs": 1.5},
        {"trainer.epochs": None, "trainer.steps": 3},
        {"trainer.workers": 1, "trainer.save_every_steps": 7, "logger": {}, "init_from": "gone.pt"},
    ],
    ids=str,
)
def test_nothing_stands_against_it(going_on: Any, values: dict[str, Any]) -> None:
    assert going_on(values) == []


def test_keys_that_cannot_change_are_named_with_both_values_and_a_remedy(going_on: Any) -> None:
    remedy = "start a new run; init_from=RUN takes over the weights"
    assert going_on({"seed": 3, "optimizer.lr": 0.5}) == [
        f"seed=3: cannot change while a run is under way (it has 0); {remedy}",
        f"optimizer.lr=0.5: cannot change while a run is under way (it has 0.001); {remedy}",
    ]


class TestBudget:
    """More is an extension; anything else is said."""

    @pytest.mark.parametrize("epochs", [0.5, 1.0, 1.2])
    def test_less_than_what_was_trained_when_the_run_was_killed(self, going_on: Any, epochs: float) -> None:
        """Its status knows no step; its checkpoint does."""
        (message,) = going_on({"trainer.epochs": epochs})
        assert message == (
            f"trainer.epochs={epochs}: is less than what the run has trained (3 steps, 1.5 epochs); "
            "set trainer.epochs to more, or leave it out"
        )

    def test_in_steps(self, going_on: Any) -> None:
        (message,) = going_on({"trainer.epochs": None, "trainer.steps": 2})
        assert message.startswith("trainer.steps=2: is less than what the run has trained (3 steps, 1.5 epochs)")

    def test_before_the_first_checkpoint_any_budget_will_do(self, run: Path, going_on: Any) -> None:
        for name in ("last", "previous"):
            (run / f"checkpoints/{name}.pt").unlink()
        assert going_on({"trainer.epochs": 0.5}) == []

    def test_a_complete_run_without_checkpoints_would_begin_anew(self, run: Path, going_on: Any) -> None:
        record(run, "completed", step=4)
        assert going_on({"trainer.epochs": 9}) == []
        for name in ("last", "previous"):
            (run / f"checkpoints/{name}.pt").unlink()
        (message,) = going_on({"trainer.epochs": 9})
        assert message.startswith("resume=RUN: is complete, but has no checkpoint to go on from; restore checkpoints/")

    def test_a_training_that_a_rule_ended_cannot_be_extended(self, run: Path, going_on: Any) -> None:
        record(run, "completed", step=3, reason="valid/loss is no better than 0.5 since 5 evaluations")
        (message,) = going_on({"trainer.epochs": 9})
        assert "a rule ended the training: valid/loss is no better than 0.5 since 5 evaluations; start" in message
        record(run, "completed", step=4)
        assert going_on({"trainer.epochs": 9}) == []


class TestFiles:
    def test_a_folder_that_cannot_be_written(self, run: Path, changed: Changed) -> None:
        (run / ".lock").touch(0o444)
        run.chmod(0o555)
        try:
            if os.access(run, os.W_OK):
                pytest.skip("root may write anywhere")
            cfg = changed({"trainer.steps": None, "trainer.epochs": 2})
            (line,) = check([Job("run", cfg, run, resumes=True)]).lines()
            assert "cannot be written: no permission" in line
        finally:
            run.chmod(0o755)

    def test_a_run_that_another_process_trains(self, run: Path, going_on: Any) -> None:
        """Seen from a process of its own: a lock is no obstacle to the process that holds it."""
        import multiprocessing

        context = multiprocessing.get_context("fork")
        here, there = context.Pipe()

        def hold() -> None:
            with held(run):
                there.send("held")
                there.recv()

        process = context.Process(target=hold, daemon=True)
        process.start()
        assert here.recv() == "held"
        (message,) = going_on({})
        here.send("enough")
        process.join()
        assert message.startswith(f"resume=RUN: is in use by process {process.pid} on ")
        assert going_on({}) == []

    def test_a_damaged_checkpoint_with_a_sound_one_before_it(self, run: Path, going_on: Any) -> None:
        (run / "checkpoints/last.pt").write_bytes(b"half of it")
        assert going_on({}) == []
        (message,) = going_on({"trainer.epochs": 0.5})
        assert "(2 steps, 1 epochs)" in message  # of the one that is sound

    @pytest.mark.parametrize("there", [["last"], ["previous"], ["last", "previous"]])
    def test_only_damaged_checkpoints(self, run: Path, going_on: Any, there: list[str]) -> None:
        for name in ("last", "previous"):
            path = run / f"checkpoints/{name}.pt"
            path.write_bytes(b"half of it") if name in there else path.unlink()
        (message,) = going_on({})
        which = "; ".join(f"RUN/checkpoints/{name}.pt is not a checkpoint, or not a whole one" for name in there)
        remedy = "restore one of the files from a copy, or start a new run"
        assert message == f"resume=RUN: no checkpoint is sound: {which}; {remedy}"

    def test_a_checkpoint_of_another_version_is_seen_before_the_start(self, run: Path, going_on: Any) -> None:
        for name in ("last", "previous"):
            write_whole(run / f"checkpoints/{name}.pt", {"format": FORMAT + 1, "step": 3})
        (message,) = going_on({})
        assert "is not a checkpoint of this version" in message

    @pytest.mark.parametrize("content", ["", ": : ["])
    def test_a_configuration_that_cannot_be_read(self, run: Path, going_on: Any, content: str) -> None:
        (run / ".hydra/config.yaml").write_text(content)
        message = "resume=RUN: its .hydra/config.yaml cannot be read; restore it, or start a new run"
        assert going_on({}) == [message]


def test_other_data_are_refused(run: Path, changed: Changed) -> None:
    from runner.config import build

    cfg = changed({})
    assert list(data_problems(run, cfg)) == []  # killed before it wrote what its data were
    record(run, "completed", step=4, data={"sha256": build.load_splits(cfg).digest})
    assert list(data_problems(run, cfg)) == []
    record(run, "completed", step=4, data={"sha256": "0" * 64})
    (problem,) = data_problems(run, cfg)
    assert problem.line().startswith("dataset: the data are not those that the run was trained on: their sha256 is ")
    assert problem.line().endswith(f", it was {'0' * 64}; restore them, or start a new run")


def test_all_is_said_at_once_and_nothing_written(run: Path, changed: Changed) -> None:
    """The checks of any run, and those of going on; the data are asked for when all else is well."""
    record(run, "completed", step=4, data={"sha256": "0" * 64})
    before = sorted((path, path.stat().st_mtime_ns) for path in run.rglob("*"))
    values = {"trainer.steps": None, "trainer.epochs": 2}
    for more, count in (({}, 1), ({"seed": 5, "optimizer.lr": -1.0}, 3)):
        lines = check([Job("run", changed({**values, **more}), run, resumes=True)]).lines()
        assert len(lines) == count, lines
    assert sorted((path, path.stat().st_mtime_ns) for path in run.rglob("*")) == before


def test_a_folder_that_holds_a_run_is_no_obstacle_to_going_on(run: Path, changed: Changed) -> None:
    cfg = changed({"trainer.steps": None, "trainer.epochs": 2})
    assert check([Job("run", cfg, run, resumes=True)]).lines() == []
    assert len(check([Job("run", cfg, run)]).wrong) == 1
