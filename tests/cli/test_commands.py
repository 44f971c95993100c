"""Commands that are right: names, seeds, cases, flags, sweeps, failures, interruptions."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from cli.terminal import SMALL, Terminal, quick_sweep
from omegaconf import OmegaConf

from runner.cli.main import main

SWEEP = ["-m", "hydra.sweep.dir=c", *quick_sweep([])]
MINE = ["~model.hidden", "~model.dropout"]
CTRL_C = ["+logger.mine._target_=cli.user_code.PressesCtrlC", "trainer.log_every_steps=1"]
DIVERGES = ["model._target_=cli.user_code.ExplodesAtStepTwo", *MINE]
BREAKS = ["model._target_=cli.user_code.BreaksAtStepTwo", *MINE]


def sweep_of(terminal: Terminal) -> Path:
    (sweep,) = (terminal.folder / "multirun").glob("*/*")
    return sweep


def folders(sweep: Path) -> list[str]:
    return sorted(entry.name for entry in sweep.iterdir() if entry.is_dir())


def test_a_single_run(terminal: Terminal) -> None:
    answer = terminal.trains()
    (run,) = (terminal.folder / "outputs").glob("*/*/*")
    where = str(run.relative_to(terminal.folder))
    assert run.name == "mlp__0"
    assert f"results: {where}" in answer.out
    assert "tensorboard" not in answer.out  # which has not looked on
    left = {entry.name for entry in run.iterdir()} - {"code.diff"}  # of a checkout with changes
    assert sorted(left) == [
        ".hydra",
        ".lock",
        "checkpoints",
        "digests.jsonl",
        "manifest.json",
        "runner.log",
        "status.json",
        "summary.txt",
    ]
    content, status = terminal.manifest(where), terminal.status(where)
    assert (status["state"], status["step"], status["reason"]) == ("completed", 2, "")
    assert (content["status"], content["seed"], content["steps"], content["precision"]) == ("completed", 0, 2, "fp32")
    assert list(content["metrics"]) == ["test/loss"]
    assert content["data"]["sizes"] == {"train": 8, "valid": 4, "test": 4}
    assert torch.load(run / "checkpoints/last.pt", weights_only=True)["step"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("command", [[], ["seed=0,1", "-m"]])
def test_garbage_is_collected_again_once_work_begins(terminal: Terminal, command: list[str]) -> None:
    """The start switches it off; the fixture has."""
    assert not gc.isenabled()
    terminal.trains(*command)
    assert gc.isenabled()


@pytest.mark.slow
def test_two_commands_in_one_process(terminal: Terminal) -> None:
    """A notebook, or a test, calls ``main`` more than once."""
    first = main([*SMALL, "hydra.run.dir=a"])
    assert (first, main([*SMALL, "hydra.run.dir=b"]), main([*SMALL, *SWEEP])) == (0, 0, 0)
    assert terminal.manifest("a")["weights_sha256"] == terminal.manifest("b")["weights_sha256"]


@pytest.mark.slow
def test_the_manifest_holds_the_command_that_was_given(terminal: Terminal) -> None:
    terminal.trains("hydra.run.dir=run", "seed=3")
    assert "seed=3" in terminal.manifest("run")["argv"]


@pytest.mark.slow
def test_upper_case_seed_zero_sweeps_and_repetitions_give_the_same_bits(terminal: Terminal) -> None:
    """``model=MLP`` is ``model=mlp``; ``seed=0`` is the default's seed; a job is the run; twice is once."""
    terminal.trains("hydra.run.dir=once")
    terminal.trains("hydra.run.dir=again", "model=MLP", "seed=0")
    terminal.trains("seed=0,1", "-m", "hydra.sweep.dir=sweep")
    once = terminal.manifest("once")
    for run in ("again", "sweep/mlp__0"):
        other = terminal.manifest(run)
        assert [other[key] for key in ("config_digest", "weights_sha256", "metrics")] == [
            once[key] for key in ("config_digest", "weights_sha256", "metrics")
        ]
    other = terminal.manifest("sweep/mlp__1")
    assert other["seed"] == 1
    assert other["weights_sha256"] != once["weights_sha256"]
    assert other["config_digest"] != once["config_digest"]
    assert other["data"]["sha256"] == once["data"]["sha256"]


@pytest.mark.slow
def test_a_sweep_over_another_key_names_it(terminal: Terminal) -> None:
    answer = terminal.trains("optimizer.lr=0.1,0.01", "seed=0,1", "-m")
    sweep = sweep_of(terminal)
    assert folders(sweep) == ["mlp__0__lr=0.01", "mlp__0__lr=0.1", "mlp__1__lr=0.01", "mlp__1__lr=0.1"]
    assert "4 of 4 runs completed" in answer.out
    assert str(sweep.relative_to(terminal.folder)) in answer.out
    weights = {terminal.manifest(str(sweep / name))["weights_sha256"] for name in folders(sweep)}
    assert len(weights) == 4


@pytest.mark.slow
def test_a_sweep_over_models_with_flags_between(terminal: Terminal) -> None:
    small = [argument for argument in SMALL if not argument.startswith(("model", "dataset.height", "dataset.width"))]
    terminal.trains(*small, "model=MLP,LeNet", "-m", "trainer.steps=1", small=False)
    assert folders(sweep_of(terminal)) == ["lenet__0", "mlp__0"]


@pytest.mark.slow
def test_flags_may_stand_anywhere(terminal: Terminal) -> None:
    answer = terminal.trains("--cfg", "job", "seed=5", "--resolve", "optimizer.lr=0.5")
    cfg = OmegaConf.create(answer.out)
    assert (cfg.seed, cfg.optimizer.lr) == (5, 0.5)
    assert terminal.left() == []


@pytest.mark.slow
@pytest.mark.parametrize("override", ["experiment=digits_resnet18_small", "+experiment=Digits_ResNet18_small"])
def test_a_recipe_with_and_without_a_plus(terminal: Terminal, override: str) -> None:
    cfg = OmegaConf.create(terminal.trains("--cfg", "job", override, small=False).out)
    assert (cfg.model.width, cfg.optimizer.momentum, cfg.trainer.epochs) == (16, 0.9, 10)


def test_settings_that_take_any_key_need_no_plus(terminal: Terminal) -> None:
    given = ["trainer.best.loss=min", "optimizer.groups={layers.1.*:{lr:0.5}}"]
    cfg = OmegaConf.create(terminal.trains("--cfg", "job", *given).out)
    assert cfg.trainer.best == {"loss": "min"}
    assert cfg.optimizer.groups == {"layers.1.*": {"lr": 0.5}}


def test_help_and_version_say_so_and_write_nothing(terminal: Terminal) -> None:
    assert "cross_entropy" in terminal.trains("--help", small=False).out
    assert terminal.trains("--version", small=False).out.startswith("runner ")
    assert terminal.left() == []


@pytest.mark.slow
def test_a_users_own_groups(terminal: Terminal) -> None:
    """An option of ours may be shadowed, new options are added, and case does not matter there, too."""
    model = terminal.folder / "mine" / "model"
    model.mkdir(parents=True)
    (model / "Linear.yaml").write_text("_target_: cli.user_code.Linear\n")
    small = [argument for argument in SMALL if not argument.startswith("model")]
    terminal.trains(*small, "--config-dir", "mine", "model=linear", "hydra.run.dir=run", small=False)
    assert terminal.manifest("run")["parameters"] == 8 * 8 * 10 + 10


@pytest.mark.slow
class TestFailures:
    """After work has begun: exit 1, the reason in the status, the traceback in the job's own log, others go on."""

    def test_a_job_that_fails_stops_no_other(self, terminal: Terminal) -> None:
        good = "cli.user_code.Linear"
        targets = f"model._target_={good},cli.user_code.BreaksAtStepTwo,cli.user_code.Normed"
        answer = terminal.runs(targets, *MINE, "-m", "hydra.sweep.dir=sweep")
        assert answer.status == 1
        names = {name.rpartition(".")[2]: f"sweep/{name}" for name in folders(terminal.folder / "sweep")}
        states = {name: terminal.status(folder)["state"] for name, folder in names.items()}
        assert states == {"Linear": "completed", "BreaksAtStepTwo": "failed", "Normed": "completed"}
        status = terminal.status(names["BreaksAtStepTwo"])
        assert (status["reason"], status["step"]) == ("the lookup table has no entry for 17", 1)
        logs = {name: (terminal.folder / folder / "runner.log").read_text() for name, folder in names.items()}
        assert "Traceback" in logs["BreaksAtStepTwo"]
        assert "user_code.py" in logs["BreaksAtStepTwo"]
        assert "Traceback" not in logs["Linear"] + logs["Normed"]
        assert "2 of 3 runs completed" in answer.out
        assert "FAILED mlp__0" in answer.out
        assert "the lookup table has no entry for 17" in answer.out

    @pytest.mark.parametrize("traceback", [False, True])
    def test_a_run_that_fails_is_not_a_command_that_was_refused(
        self, terminal: Terminal, monkeypatch: pytest.MonkeyPatch, traceback: bool
    ) -> None:
        """A ``ValueError`` of the user's own code, in the middle of training: exit 1, whatever its type."""
        if traceback:
            monkeypatch.setenv("RUNNER_TRACEBACK", "1")
        answer = terminal.runs(*BREAKS, "hydra.run.dir=run")
        assert answer.status == 1
        assert terminal.status("run")["state"] == "failed"
        assert ("Traceback" in answer.err) == traceback
        assert "the lookup table has no entry for 17" in answer.err
        assert "Error executing job" not in answer.err
        if not traceback:
            assert str(Path("run/runner.log")) in answer.err

    def test_a_loss_that_is_not_finite(self, terminal: Terminal) -> None:
        answer = terminal.runs(*DIVERGES, "hydra.run.dir=run", "trainer.save_every_steps=1", "trainer.steps=4")
        assert answer.status == 1
        reason = terminal.status("run")["reason"]
        assert reason.startswith("train/loss became ")
        assert "at step 2 (epoch 0, batch 1); the last good state is run/checkpoints/last.pt" in reason.replace(
            f"{terminal.folder}/", ""
        )
        assert reason in answer.err
        status = terminal.status("run")
        assert (status["state"], status["step"], terminal.manifest("run")["status"]) == ("failed", 1, "failed")
        kept = torch.load(terminal.folder / "run/checkpoints/last.pt", weights_only=True)
        assert kept["step"] == 1
        assert all(tensor.isfinite().all() for tensor in kept["parts"]["task"].values())

    def test_a_log_holds_only_its_own_job(self, terminal: Terminal) -> None:
        terminal.trains("seed=0,1", "-m", "hydra.sweep.dir=sweep")
        log = (terminal.folder / "sweep/mlp__0/runner.log").read_text()
        assert "seed=1" not in log


class TestInterruptions:
    """Ctrl-C: the step is finished, the state saved, exit 130."""

    @pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
    def test_a_run_ends_after_its_step(self, terminal: Terminal, name: str) -> None:
        given = [*CTRL_C, "+logger.mine.step=3", f"+logger.mine.terminates={name == 'SIGTERM'}", "trainer.steps=9"]
        answer = terminal.runs(*given, "hydra.run.dir=run")
        assert answer.status == 130
        saved, go_on = "run/checkpoints/last.pt", "python -m runner resume run"
        (message,) = answer.messages
        assert message == f"interrupted by {name}; the state is saved in {saved}; to go on: {go_on}"
        assert "Traceback" not in answer.err
        status = terminal.status("run")
        assert (status["state"], status["step"], status["reason"]) == ("interrupted", 3, f"interrupted by {name}")
        assert terminal.manifest("run")["status"] == "interrupted"
        assert torch.load(terminal.folder / "run/checkpoints/last.pt", weights_only=True)["step"] == 3

    @pytest.mark.slow
    def test_a_sweep_starts_no_further_job(self, terminal: Terminal) -> None:
        answer = terminal.runs(*CTRL_C, "seed=0,1", "-m", "hydra.sweep.dir=sweep")
        assert answer.status == 130
        assert folders(terminal.folder / "sweep") == ["mlp__0"]

    @pytest.mark.slow
    def test_a_run_in_a_thread_is_not_in_the_way(self, terminal: Terminal) -> None:
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.append(terminal.runs("hydra.run.dir=run").status))
        thread.start()
        thread.join()
        assert found == [0]
