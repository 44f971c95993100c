"""Training again, and saying whether it came out the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli.terminal import Terminal

LONGER = ["trainer.steps=6", "trainer.evaluate_every_steps=2", "trainer.log_every_steps=2"]
EXPERIMENTS = ["", "digits_resnet18_small", "mnist_cae", "mnist_dcgan", "mnist_resnet18_small"]


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def reproduced(terminal: Terminal, *arguments: str, status: int = 0) -> str:
    """What ``reproduce run`` says; it must leave the run as it was."""
    before = files_of(terminal.folder / "run")
    answer = terminal.runs("reproduce", "run", *arguments, small=False)
    assert answer.status == status, answer.out + answer.err
    assert files_of(terminal.folder / "run") == before
    return answer.out + answer.err


def test_the_same_again_is_identical(terminal: Terminal) -> None:
    terminal.trains("hydra.run.dir=run", *LONGER)
    said = reproduced(terminal, "hydra.run.dir=again")
    assert "IDENTICAL: 3 evaluations, 4 tensors, test scores" in said
    assert (terminal.folder / "again/reproduction.txt").read_text().startswith("IDENTICAL")
    assert terminal.manifest("again")["weights_sha256"] == terminal.manifest("run")["weights_sha256"]


@pytest.mark.slow
def test_another_value_on_top_is_different_and_named(terminal: Terminal) -> None:
    terminal.trains("hydra.run.dir=run", *LONGER)
    said = reproduced(terminal, "optimizer.lr=0.5", status=1)
    assert "DIFFERENT from the evaluation at step 2" in said
    assert "optimizer.lr: 0.001 in A, 0.5 in B" in said
    assert "valid/loss" in said


@pytest.mark.slow
def test_a_record_that_was_changed_is_different(terminal: Terminal) -> None:
    """The comparison looks at what the run recorded, and not at itself."""
    terminal.trains("hydra.run.dir=run", *LONGER)
    digests = terminal.folder / "run/digests.jsonl"
    *lines, last = [json.loads(line) for line in digests.read_text().splitlines()]
    name = next(iter(last["tensors"]))
    last["tensors"][name][0] = "0" * 16
    last["weights_sha256"] = "0" * 64
    digests.write_text("".join(json.dumps(line) + "\n" for line in [*lines, last]))
    said = reproduced(terminal, status=1)
    assert "DIFFERENT from the evaluation at step 6" in said
    assert name in said
    assert "nothing that was recorded explains this" in said


@pytest.mark.slow
def test_a_part_of_a_run(terminal: Terminal) -> None:
    terminal.trains("hydra.run.dir=run", *LONGER)  # 2 steps an epoch
    said = reproduced(terminal, "--until-epoch", "2", "hydra.run.dir=again")
    assert "IDENTICAL up to step 4: 2 evaluations" in said
    assert terminal.status("again")["step"] == 4


@pytest.mark.slow
@pytest.mark.parametrize("epoch", ["0", "0.5", "-1", "x", "nan", "inf"])
def test_a_part_without_an_evaluation_is_refused(terminal: Terminal, epoch: str) -> None:
    terminal.trains("hydra.run.dir=run", *LONGER)
    left = terminal.left()
    assert f"--until-epoch={epoch}: must be" in reproduced(terminal, f"--until-epoch={epoch}", status=2)
    assert terminal.left() == left


@pytest.mark.slow
def test_an_extended_run_is_extended_again(terminal: Terminal) -> None:
    """Under a schedule as long as the training: what was trained is no run of 6 steps from the start."""
    terminal.trains("hydra.run.dir=run", *LONGER, "scheduler=linear", "trainer.steps=4")
    terminal.runs("resume", "run", "trainer.steps=6", small=False)
    said = reproduced(terminal, "hydra.run.dir=again")
    assert "IDENTICAL: 3 evaluations" in said
    assert [session["first_step"] for session in terminal.manifest("again")["sessions"]] == [0, 4]
    terminal.trains("hydra.run.dir=straight", *LONGER, "scheduler=linear")
    assert terminal.manifest("straight")["weights_sha256"] != terminal.manifest("again")["weights_sha256"]


@pytest.mark.slow
def test_the_recorded_threads_and_switches_hold(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    terminal.trains("hydra.run.dir=run", *LONGER, "trainer.threads=2")
    file = terminal.folder / "run/.hydra/config.yaml"
    file.write_text(file.read_text().replace("threads: 2", "threads: null"))
    monkeypatch.setenv("MKL_CBWR", "AVX2")
    reproduced(terminal, "hydra.run.dir=again")
    again = terminal.manifest("again")
    assert again["threads"] == 2
    assert again["environment"]["switches"]["MKL_CBWR"] == "COMPATIBLE"
    assert os.environ["MKL_CBWR"] == "AVX2"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere"], "reproduce nowhere: is not the folder of a run: there is no such folder"),
        ([], "reproduce: takes the folder of one run"),
        (["run", "-m"], "--multirun: has no meaning for reproduce"),
        (["run", "hydra.run.dir=run/again"], "lies in the run that is reproduced"),
        (["run", "--until-epoch"], "--until-epoch: needs a value"),
        (["run", "trainer.epoch=1"], "did you mean trainer.epochs?"),
    ],
)
def test_what_makes_no_sense_is_refused(terminal: Terminal, arguments: list[str], told: str) -> None:
    terminal.trains("hydra.run.dir=run", *LONGER)
    left = terminal.left()
    answer = terminal.runs("reproduce", *arguments, small=False)
    assert (answer.status, terminal.left()) == (2, left)
    assert told in answer.err


@pytest.mark.slow
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_recipe_that_needs_no_download(terminal: Terminal, experiment: str) -> None:
    data = os.environ.get("RUNNER_TEST_DATA")
    given = ["trainer.epochs=2", "debug.samples=128", "hydra.run.dir=run"]
    if experiment.startswith("mnist"):
        if data is None:
            pytest.skip("RUNNER_TEST_DATA names no folder with MNIST")
        given.append(f"dataset.root={data}")
    terminal.trains(*([f"experiment={experiment}"] if experiment else []), *given, small=False)
    assert "IDENTICAL: 2 evaluations" in reproduced(terminal)


@pytest.mark.slow
def test_one_changed_line_of_the_model_is_found_and_named(tmp_path: Path) -> None:
    source = tmp_path / "ours.py"
    source.write_text(
        "from torch import nn\n\n\n"
        "class Ours(nn.Sequential):\n"
        "    def __init__(self, num_classes: int = 10) -> None:\n"
        "        super().__init__(nn.Flatten(), nn.Linear(1024, 16), nn.ReLU(), nn.Linear(16, num_classes))\n"
    )
    settings = ["model._target_=ours.Ours", *(f"~model.{key}" for key in ("hidden", "dropout"))]

    def ran(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "runner", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    first = ran("model=mlp", *settings, "debug.samples=64", "trainer.epochs=2", "hydra.run.dir=run", "logger=[csv]")
    assert first.returncode == 0, first.stderr
    same = ran("reproduce", "run")
    assert (same.returncode, "IDENTICAL" in same.stdout) == (0, True), same.stdout + same.stderr
    source.write_text(source.read_text().replace("nn.ReLU()", "nn.Tanh()"))
    other = ran("reproduce", "run")
    assert other.returncode == 1
    assert "DIFFERENT from the evaluation at step" in other.stdout
    code = other.stdout.partition("\ncode\n")[2]
    assert "ours: changed" in code
    assert "runner." not in code
