"""``python -m runner resume RUN``: go on with a run, or with a sweep, in its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runner import checksums
from runner.cli import argv as arguments
from runner.config.identity import BUDGET, may_change
from runner.preflight.ranks import CHANGE_WORLD_SIZE
from runner.problem import Refused
from runner.results.manifest import read_json


def main(argv: Sequence[str]) -> int:
    """Train what is missing of a run, from its newest sound checkpoint; a larger budget extends it."""
    from runner.cli import app, saved_run
    from runner.config.conf_dir import conf_dir
    from runner.config.schema import register
    from runner.manner import Manner

    change_world_size = CHANGE_WORLD_SIZE in argv
    command = arguments.of_hydra([word for word in argv if word != CHANGE_WORLD_SIZE])
    sweep = arguments.sweep_in(command)
    if sweep is not None:
        return _resume_sweep(sweep, command)
    folder = arguments.of_run(command, verb="resume")
    if checksums.known(folder):
        text = f"resume {folder}: is an archive, which has the weights, but not the state of the training"
        raise Refused([f"{text}; start a new run; init_from={folder} takes over the weights"])
    overrides = command.args.overrides
    if _is_complete(folder) and not extends(overrides):
        asked = [override for override in overrides if not _allowed(override)]
        if asked:
            text = f"resume {folder}: is complete, {', '.join(asked)} would change nothing"
            raise Refused([f"{text}; trainer.epochs=<more> extends it"])
        print(f"{folder} is complete, {_ending(read_json(folder / 'status.json'))}")
        _tell_trackers([folder])
        return 0
    register()
    config_name, overrides = saved_run.register(folder / ".hydra", command.args.overrides)
    longer = extends(command.args.overrides)
    app.one_run(
        command.args,
        conf_dir=str(conf_dir()),
        config_name=config_name,
        overrides=[*overrides, f"hydra.run.dir={arguments.quoted(folder)}"],
        manner=Manner(
            resume=True,
            threads=read_json(folder / "manifest.json").get("threads"),
            change_world_size=change_world_size,
        ),
        note="a schedule that lasts as long as the training follows the new length from here on" if longer else "",
    )
    return 0


def _resume_sweep(folder: Path, command: arguments.Command) -> int:
    from runner.cli import app, sweeps
    from runner.config.conf_dir import conf_dir
    from runner.config.schema import register

    register()
    overrides = command.args.overrides
    _tell_trackers([file.parent for file in folder.glob("*/status.json") if _is_complete(file.parent)])
    foreign = [word for word in overrides if not word.startswith(("hydra.", "hydra/"))]
    if foreign:
        text = "the jobs of a sweep are as they were frozen; change one by resuming its own folder"
        raise Refused([f"{word}: {text}" for word in foreign])
    with app.configured(command.args, str(conf_dir())) as hydra:
        return sweeps.resume(hydra, "config", folder, [*overrides, f"hydra.sweep.dir={arguments.quoted(folder)}"])


def _tell_trackers(folders: Sequence[Path]) -> None:
    """What trackers that were away have missed of complete runs."""
    from runner.observers.tracking import send_rest

    for line in (line for folder in folders for line in send_rest(folder)):
        print(line)


def _is_complete(folder: Path) -> bool:
    return read_json(folder / "status.json").get("state") == "completed"


def _ending(status: Mapping[str, Any]) -> str:
    if status["reason"]:
        return f"ended at step {status['step']}: {status['reason']}"
    return f"at step {status['step']}; trainer.epochs=<more> extends it"


def extends(overrides: Sequence[str]) -> bool:
    return any(_key(override) in BUDGET for override in overrides)


def _allowed(override: str) -> bool:
    """What may be given to a run that goes on, and is no matter where nothing is left to do."""
    return may_change(_key(override)) or _key(override).startswith("hydra")


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]
