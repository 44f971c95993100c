"""A user's own parts, used from another folder with nothing in src/ edited."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
OWN = ["--config-dir", str(EXAMPLES / "own" / "conf")]
MODULE = [sys.executable, "-m", "runner"]
CONSOLE = [str(Path(sys.executable).with_name("runner"))]
SHORT = ["trainer.epochs=1", "dataset.train_size=200", "trainer.workers=0"]

pytestmark = pytest.mark.slow


def ran(command: list[str], *, cwd: Path, python_path: str = "") -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name != "RUNNER_TRACEBACK"}
    env["PYTHONPATH"] = python_path
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


def manifest(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return content


def test_own_parts_train_from_another_folder_and_repeat_without_their_configuration(tmp_path: Path) -> None:
    command = [*MODULE, *OWN, "experiment=spirals", "hydra.run.dir=first"]
    done = ran(command, cwd=tmp_path, python_path=str(EXAMPLES))
    assert done.returncode == 0, done.stderr
    first = manifest(tmp_path / "first")
    assert first["metrics"]["test/accuracy"] > 0.8  # one of six by chance
    assert {"test/loss", "test/accuracy", "test/kappa"} == set(first["metrics"])
    lines = (tmp_path / "first" / "milestones.txt").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("valid/accuracy 0.5 at step ")
    again = [*CONSOLE, "--config-path", "first/.hydra", "--config-name", "config", "hydra.run.dir=again"]
    done = ran(again, cwd=tmp_path, python_path=str(EXAMPLES))
    assert done.returncode == 0, done.stderr
    assert manifest(tmp_path / "again")["weights_sha256"] == first["weights_sha256"]


def test_the_current_folder_is_searched_by_the_module_and_not_by_the_console_script(tmp_path: Path) -> None:
    (tmp_path / "own").symlink_to(EXAMPLES / "own")
    arguments = ["--config-dir", "own/conf", "dataset=spirals", "model=Tiny_Net", "logger=[csv]", *SHORT]
    done = ran([*MODULE, *arguments], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = ran([*CONSOLE, *arguments], cwd=tmp_path)
    assert done.returncode == 2
    assert "model._target_=own.tiny_net.TinyNet: cannot be imported: No module named 'own'" in done.stderr


@pytest.mark.parametrize(
    ("mistakes", "answers"),
    [
        (["model.widht=8"], ["model.widht: there is no such setting; did you mean model.width?"]),
        (["loss=polly"], ["loss=polly: there is no such option; did you mean poly?"]),
        (
            ["+model.widht=8", "dataset.image_size=4"],
            [
                "model.widht=8: own.tiny_net.TinyNet takes no such argument; did you mean width?",
                "dataset.image_size=4: is too small for a spiral; set dataset.image_size=24",
            ],
        ),
    ],
)
def test_mistakes_in_own_parts_are_told_before_anything_is_written(
    tmp_path: Path, mistakes: list[str], answers: list[str]
) -> None:
    done = ran([*MODULE, *OWN, "experiment=spirals", *mistakes], cwd=tmp_path, python_path=str(EXAMPLES))
    assert done.returncode == 2, done.stdout + done.stderr
    assert all(answer in done.stderr for answer in answers), done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_standalone(tmp_path: Path) -> None:
    done = ran([sys.executable, str(EXAMPLES / "standalone.py")], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout.replace("'", '"'))
    assert scores["test/accuracy"] > 0.85  # the last writers are not among those trained on
    assert list(tmp_path.iterdir()) == []
