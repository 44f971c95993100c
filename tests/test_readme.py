"""What the README says to type is what works."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOURED = (ROOT / "README.md").read_text(encoding="utf-8")
TOUR = TOURED.partition("## A tour\n")[2].partition("\n## ")[0]  # run as it stands, by test_tour
README = TOURED.replace(TOUR, "")
SMALL = ["debug.samples=16", "debug.steps=1", "trainer.batch_size=4", "trainer.workers=0"]
MAIN_JOB = ["model=vgg16", "seed=0,1,2", "-m"]  # a minute; test_command runs it
LONG = {"-c": "--constraint", "-e": "--editable"}

DRIVER = """
import json, os, pathlib, re, sys
from hydra.core.global_hydra import GlobalHydra
from runner.cli.main import main
before = dict(os.environ)
for line in sys.stdin:
    job = json.loads(line)
    os.environ.update(job["env"])
    print("$", *job["argv"], file=sys.stderr, flush=True)
    runs = [str(run) for run in sorted(pathlib.Path().glob("outputs/*/*/*"))] or ["RUN"]
    argv = [re.sub(r"\\bRUN\\b", runs[0], word).replace("RUN_B", runs[-1]) for word in job["argv"]]
    print(json.dumps({"argv": argv, "status": main(argv)}), flush=True)
    os.environ.clear()
    os.environ.update(before)
    GlobalHydra.instance().clear()
"""


@dataclass(frozen=True)
class Command:
    env: dict[str, str]
    words: list[str]

    @property
    def runs(self) -> bool:
        return self.words[:3] == ["python", "-m", "runner"]


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[Command]:
    found = []
    for line in "".join(blocks("sh")).splitlines():
        words = shlex.split(line, comments=True)
        env = {}
        while "=" in words[0]:
            name, _, value = words.pop(0).partition("=")
            env[name] = value
        found.append(Command(env, words))
    return found


def recipes() -> list[list[str]]:
    """The lines that make would run, variables filled in."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    filled = {"$(PYTHON)": "python3.11", "$(BIN)": ".venv/bin", "$(VENV)": ".venv", "$(ARGS)": "", "$@": ""}
    for name, value in filled.items():
        makefile = makefile.replace(name, value)
    return [shlex.split(line) for line in makefile.splitlines() if line.startswith("\t")]


def shortening(arguments: list[str]) -> list[str]:
    """Of a run or a sweep that is started, or a run that is done again; reports take none, a sweep is frozen."""
    if arguments[:1] in (["diff"], ["status"], ["report"]) or arguments[:2] == ["resume", "SWEEP"]:
        return []
    return [*SMALL, *(["hydra.sweeper.n_trials=2"] if "hydra/sweeper=optuna" in arguments else [])]


def test_every_command_is_run_or_compared_with_the_makefile() -> None:
    kinds = [command.words[0] for command in commands() if not command.runs]
    assert {"make", "python3.11", ".venv/bin/pip", ".venv/bin/python", "tensorboard"} == set(kinds)
    assert sum(command.runs for command in commands()) >= 12


def test_make_has_the_targets() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert {command.words[1] for command in commands() if command.words[0] == "make"} <= targets


def test_setting_up_by_hand_is_what_make_does() -> None:
    made = [[word for word in line if word != "--quiet"] for line in recipes()]
    by_hand = [command for command in commands() if command.words[0].startswith((".venv", "python3.11"))]
    assert len(by_hand) == 4
    for command in by_hand:
        words = [LONG.get(word, word) for word in command.words]
        if words[0] == ".venv/bin/pip":
            words = [".venv/bin/python", "-m", "pip", *words[1:]]
        assert [*(f"{name}={value}" for name, value in command.env.items()), *words] in made


def test_ci_runs_the_test_command() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert "make test" in script
    assert Command({}, ["make", "test"]) in commands()


def test_tensorboard_is_installed_with_the_runner() -> None:
    assert '"tensorboard' in (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("optional")[0]


def test_the_python_block_is_the_example_that_the_tests_run() -> None:
    example = (ROOT / "examples" / "standalone.py").read_text(encoding="utf-8")
    assert blocks("python") == [example.partition('"""\n\n')[2]]


def test_the_loop_is_one_hop_away() -> None:
    assert "](src/runner/loop.py)" in README


@pytest.mark.slow
def test_every_command_of_the_runner_works(tmp_path: Path) -> None:
    """All in one process, which imports torch once; each made short. RUN is the first run, RUN_B the last."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    jobs = [
        {"env": command.env, "argv": [*command.words[3:], *shortening(command.words[3:])]}
        for command in commands()
        if command.runs and command.words[3:] != MAIN_JOB
    ]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "examples")}
    try:
        done = subprocess.run(
            [sys.executable, "-c", DRIVER],
            input="\n".join(map(json.dumps, jobs)),
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"argv"')]
        assert len(answers) == len(jobs), done.stderr
        assert [answer for answer in answers if answer["status"] != 0] == [], done.stderr
        single, swept = ({run.name for run in tmp_path.glob(f"{kind}/*/*/*__*")} for kind in ("outputs", "multirun"))
        assert {"lenet__0", "lenet__1", "cae__0", "resnet18_small__0", "unet__0", "tiny_net__0"} <= single
        assert {"mlp__0", "mlp__1", "resnet18_small__0__lr=0.01", "tiny_net__1__width=8"} <= swept
    finally:
        shutil.rmtree(tmp_path / "outputs", ignore_errors=True)  # the checkpoints of the large models
        shutil.rmtree(tmp_path / "multirun", ignore_errors=True)
