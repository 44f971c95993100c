"""``python -m runner resume RUN``: go on with a run, in its folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from runner.cli import argv as arguments
from runner.config.identity import BUDGET
from runner.results.manifest import read_json


def main(argv: Sequence[str]) -> int:
    """Train what is missing of a run, from its newest sound checkpoint; a larger budget extends it."""
    from runner.cli import app, saved_run
    from runner.config.conf_dir import conf_dir
    from runner.config.schema import register
    from runner.manner import Manner

    folder, command = arguments.of_run(argv, verb="resume")
    if _is_complete(folder) and not extends(command.args.overrides):
        step = read_json(folder / "status.json")["step"]
        print(f"{folder} is complete, at step {step}; trainer.epochs=<more> extends it")
        return 0
    register()
    config_name, overrides = saved_run.register(folder / ".hydra", command.args.overrides)
    if extends(command.args.overrides):
        print("a schedule that lasts as long as the training follows the new length from here on")
    app.one_run(
        command.args,
        conf_dir=str(conf_dir()),
        config_name=config_name,
        overrides=[*overrides, f"hydra.run.dir={arguments.quoted(folder)}"],
        manner=Manner(resume=True, threads=read_json(folder / "manifest.json").get("threads")),
    )
    return 0


def _is_complete(folder: Path) -> bool:
    return read_json(folder / "status.json").get("state") == "completed"


def extends(overrides: Sequence[str]) -> bool:
    return any(override.lstrip("+").partition("=")[0] in BUDGET for override in overrides)
