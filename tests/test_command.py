"""Whole commands in processes of their own, as a user types them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
SMALL = ["debug.samples=40", "trainer.epochs=1", "trainer.batch_size=8", "logger=[csv]"]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "runner", *arguments]


def ran(*arguments: str, cwd: Path, status: int = 0, env: dict[str, str] | None = None) -> str:
    """The output of a command that must end with ``status``."""
    done = subprocess.run(
        command(*arguments), cwd=cwd, capture_output=True, text=True, env={**os.environ, **(env or {})}, check=False
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def wait_for(file: Path, process: subprocess.Popen[str]) -> None:
    """Until ``process`` has made ``file``, has ended, or has had its time."""
    deadline = time.monotonic() + 90
    while not file.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)


def manifest(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return content


def runs_below(folder: Path) -> dict[str, Path]:
    return {file.parent.name: file.parent for file in sorted(folder.glob("**/manifest.json"))}


def test_the_default_learns_the_digits_and_says_where_the_results_are(tmp_path: Path) -> None:
    output = ran(cwd=tmp_path)
    (run,) = runs_below(tmp_path / "outputs").values()
    assert run.name == "lenet__0"
    assert manifest(run)["metrics"]["test/accuracy"] >= 0.97
    assert json.loads((run / "status.json").read_text())["state"] == "completed"
    assert f"results: {run.relative_to(tmp_path)}" in output
    assert "tensorboard --logdir" in output
    left = {"history.csv", "steps.csv", "summary.txt", "runner.log", "tensorboard", "checkpoints", ".hydra"}
    assert left <= {entry.name for entry in run.iterdir()}
    assert {file.name for file in (run / "checkpoints").iterdir()} == {"last.pt", "previous.pt", "best_accuracy.pt"}


def test_the_main_job(tmp_path: Path) -> None:
    small = ["debug.samples=8", *SMALL[1:]]  # a step
    ran("model=vgg16", "seed=0,1,2", "-m", *small, cwd=tmp_path)
    (sweep,) = (tmp_path / "multirun").glob("*/*")
    assert sorted(runs_below(sweep)) == ["vgg16__0", "vgg16__1", "vgg16__2"]
    assert {"sweep.json", "multirun.yaml", "report.html", "report.csv"} <= {entry.name for entry in sweep.iterdir()}
    found = [manifest(sweep / f"vgg16__{seed}") for seed in range(3)]
    assert [run["seed"] for run in found] == [0, 1, 2]
    assert all(run["status"] == "completed" for run in found)
    assert len({run["weights_sha256"] for run in found}) == 3


def test_a_sweep_a_single_run_and_a_repetition_give_the_same_bits(tmp_path: Path) -> None:
    settings = ["model=LeNet", "augmentation=crop_flip", *SMALL]
    ran("-m", "seed=0,1", *settings, cwd=tmp_path)
    alone = ["seed=1", *settings, "hydra.run.dir=alone"]
    ran(*alone, cwd=tmp_path)
    again = ["--config-path", "alone/.hydra", "--config-name", "config", "hydra.run.dir=again"]
    ran(*again, cwd=tmp_path)
    jobs = runs_below(tmp_path / "multirun")
    digests = [
        manifest(folder)["weights_sha256"] for folder in (jobs["lenet__1"], tmp_path / "alone", tmp_path / "again")
    ]
    assert len(set(digests)) == 1
    assert manifest(jobs["lenet__0"])["weights_sha256"] != digests[0]
    assert (tmp_path / "alone/history.csv").read_text().split(",")[:3] == ["step", "epoch", "train/loss"]


@pytest.mark.parametrize("interrupt", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(tmp_path: Path, interrupt: signal.Signals) -> None:
    arguments = command("model=mlp", "trainer.epochs=100000", "hydra.run.dir=run", "logger=[csv]")
    process = subprocess.Popen(arguments, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(tmp_path / "run/steps.csv", process)
    process.send_signal(interrupt)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "the state is saved" in errors
    assert "Traceback" not in errors
    status = json.loads((tmp_path / "run/status.json").read_text())
    assert (status["state"], status["reason"]) == ("interrupted", f"interrupted by {interrupt.name}")
    import torch

    assert torch.load(tmp_path / "run/checkpoints/last.pt", weights_only=True)["step"] == status["step"] > 0


def test_interrupting_a_sweep_starts_no_further_job(tmp_path: Path) -> None:
    arguments = command("model=mlp", "seed=0,1", "-m", "trainer.epochs=100000", "hydra.sweep.dir=sweep", "logger=[csv]")
    process = subprocess.Popen(arguments, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(tmp_path / "sweep/mlp__0/steps.csv", process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert sorted(runs_below(tmp_path / "sweep")) == ["mlp__0"]


@pytest.mark.parametrize(
    ("arguments", "status"), [(["--help"], 0), (["--cfg", "job"], 0), (["trainer.epoch=3"], 2), (["--version"], 0)]
)
def test_answers_that_need_no_torch_do_not_import_it(tmp_path: Path, arguments: list[str], status: int) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "runner", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time")}
    assert "runner.cli.main" in imported
    assert not {name for name in imported if name.partition(".")[0] in ("torch", "numpy", "torchvision", "rich")}
    assert list(tmp_path.iterdir()) == []


def test_a_run_imports_only_what_it_uses(tmp_path: Path) -> None:
    """Each of these takes longer than all of ``runner``."""
    step = ["model=mlp", "trainer.steps=1", "hydra.run.dir=run"]
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "runner", *step],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time")}
    assert "torch" in imported
    unused = {"torch._dynamo", "triton", "torchvision", "torchmetrics", "sklearn.utils", "scipy.stats", "matplotlib"}
    assert not imported & unused


def test_the_wheel_works_on_its_own(tmp_path: Path) -> None:
    """Built, unpacked elsewhere, run from another folder: its ``conf/`` is inside."""
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".git", ".venv", "outputs", "multirun", ".*cache"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", "dist", str(source)], cwd=tmp_path, check=True
    )
    (wheel,) = (tmp_path / "dist").glob("runner-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", "site", str(wheel)], cwd=tmp_path, check=True)
    shutil.rmtree(source)
    env = {"PYTHONPATH": str(tmp_path / "site")}
    where = "import runner.config.conf_dir as c; print(c.conf_dir())"
    found = subprocess.run(
        [sys.executable, "-c", where],
        cwd=tmp_path,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(found.stdout.strip()) == tmp_path / "site/runner/conf"
    ran("model=mlp", "seed=3,4", "-m", "hydra.sweep.dir=sweep", *SMALL, cwd=tmp_path, env=env)
    assert {manifest(tmp_path / f"sweep/mlp__{seed}")["status"] for seed in (3, 4)} == {"completed"}
    assert (tmp_path / "site/hydra_plugins/runner_plugins/sweeper.py").is_file()


def test_the_console_script(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("runner")
    done = subprocess.run([str(script), "--version"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("runner ")
