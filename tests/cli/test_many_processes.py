"""``trainer.nproc`` and torchrun, by the real commands. What the processes compute is in ``test_ranks``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from cli.terminal import SMALL, Terminal, close_logs

from runner.cli.main import main

MODEL = ["~model.hidden", "~model.dropout", "++model._target_=cli.troubled.Troubled"]
CADENCE = ["trainer.evaluate_every_steps=2", "trainer.save_every_steps=2", "trainer.log_every_steps=1"]
RUN = [*SMALL, *MODEL, *CADENCE, "trainer.steps=8", "logger=[csv]", "augmentation=crop_flip", "trainer.batch_size=5"]
CTRL_C = "+logger.mine={_target_: cli.user_code.PressesCtrlC, step: 5}"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two processes that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole") / "whole"
    assert main([*RUN, "trainer.nproc=2", f"hydra.run.dir={folder}"]) == 0
    close_logs()
    return folder


def content(file: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(file.read_text())
    return read


def test_one_that_fails_ends_all_and_the_run_goes_on_to_the_same_bits(
    whole: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert content(whole / "manifest.json")["world_size"] == 2
    assert not (whole / "rank1.log").exists()

    monkeypatch.setenv("TROUBLE", "raise:4")
    failed = terminal.runs(*RUN, "trainer.nproc=2", "hydra.run.dir=run", small=False)
    cause = "rank 1: KeyError: 'this is the trouble'; its traceback is in rank1.log"
    assert failed.status == 1
    assert failed.messages == [f"run failed: {cause}; the traceback is in run/runner.log"]
    assert terminal.status("run")["state"] == terminal.manifest("run")["status"] == "failed"
    assert terminal.status("run")["reason"] == cause
    assert "in forward" in (terminal.folder / "run" / "rank1.log").read_text()

    monkeypatch.delenv("TROUBLE")
    interrupted = terminal.runs("resume", "run", CTRL_C, small=False)
    assert interrupted.status == 130, interrupted.err
    assert terminal.status("run")["reason"] == "interrupted by SIGINT"
    assert terminal.status("run")["step"] in (5, 6)  # all that were asked, and those that learnt of it

    other = terminal.runs("resume", "run", "trainer.nproc=1", small=False)
    assert other.status == 2
    assert "was trained by 2 processes, now there would be 1" in other.err

    assert terminal.runs("resume", "run", small=False).status == 0
    assert terminal.runs("diff", str(whole), "run", small=False).out.startswith("IDENTICAL")


def test_one_that_is_killed_ends_all(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TROUBLE", "kill:3")
    failed = terminal.runs(*RUN, "trainer.nproc=2", "hydra.run.dir=run", small=False)
    assert failed.status == 1
    assert terminal.status("run")["state"] == "failed"
    assert terminal.status("run")["reason"].startswith("rank 1 was killed by SIGKILL")


def test_torchrun_gives_the_same_bits(whole: Path, terminal: Terminal) -> None:
    tests = str(Path(__file__).parents[1])
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", "-m", "runner"]
    done = subprocess.run(
        [*command, *RUN, "hydra.run.dir=run"],
        env={**os.environ, "PYTHONPATH": tests},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert terminal.manifest("run")["world_size"] == 2
    assert terminal.runs("diff", str(whole), "run", small=False).out.startswith("IDENTICAL")


@pytest.mark.gpu
@pytest.mark.parametrize(
    "extra", [(), ("trainer.sync_batchnorm=true", "model=lenet"), ("trainer.precision=fp16",)], ids=str
)
def test_on_gpus(terminal: Terminal, extra: tuple[str, ...]) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two CUDA devices")
    own = ["trainer.device=cuda", "trainer.precision=fp32", "trainer.tf32=false", "logger=[csv]", *extra]
    run = [*SMALL, *own] if "model=lenet" not in extra else ["dataset=digits", "trainer.steps=3", *own]
    alone = [word for word in run if "sync" not in word]
    assert terminal.runs(*alone, "hydra.run.dir=one", small=False).status == 0
    done = terminal.runs(*run, "trainer.nproc=2", "hydra.run.dir=two", small=False)
    assert done.status == 0, done.err
    one, two = (terminal.manifest(name)["metrics"]["test/loss"] for name in ("one", "two"))
    assert two == pytest.approx(one, rel=1e-2 if extra else 1e-4)
