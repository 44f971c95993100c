"""``python -m runner reproduce RUN``: train again in a new folder, and compare with what the run recorded."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runner import torchrun
from runner.cli import argv as arguments
from runner.config.identity import BUDGET
from runner.problem import Refused
from runner.results import provenance
from runner.results.manifest import read_json
from runner.results.phases import Phase, left_after, phases

IDENTICAL, DIFFERENT = 0, 1
TOO_LATE = ("PYTHONHASHSEED",)  # read when Python starts


def main(argv: Sequence[str]) -> int:
    """Train again under the recorded settings and print the comparison; 0 when all numbers are the same, else 1."""
    from runner.results.comparison import compare

    until_epoch, rest = arguments.option(argv, "--until-epoch")
    command = arguments.of_hydra(rest)
    folder = arguments.of_run(command, verb="reproduce")
    _keep_out_of(folder, command.args.overrides)
    manifest = read_json(folder / "manifest.json")
    if not manifest:
        raise Refused([f"reproduce {folder}: it has no manifest.json to compare with"])
    command.args.overrides += _as_many_processes(folder, manifest)
    until_steps = _until(folder, manifest, until_epoch)
    with _switches(manifest.get("environment", {}).get("switches", {})):
        again = _train_again(folder, command, manifest, until_steps)
    comparison = compare(folder, again, until_step=until_steps if until_epoch is not None else None)
    report = comparison.text()
    (again / "reproduction.txt").write_text(report + "\n", encoding="utf-8")
    print(report)
    return IDENTICAL if comparison.identical else DIFFERENT


def _train_again(
    folder: Path, command: arguments.Command, manifest: Mapping[str, Any], until_steps: int | None
) -> Path:
    """The folder of the new run. Where the run was extended, so is this one, at the same step."""
    from runner.cli import app, saved_run
    from runner.config.conf_dir import conf_dir
    from runner.config.schema import register
    from runner.manner import Manner

    register()
    own = command.args.overrides
    again: Path | None = None
    whole = _phases(manifest, own)
    for phase in left_after(whole, until_steps):
        budget = [] if phase.budget == whole[-1].budget else phase.overrides()  # the last one is what is configured
        config_name, overrides = saved_run.register(folder / ".hydra", [*budget, *own])
        if again is not None:
            overrides = [*overrides, f"hydra.run.dir={arguments.quoted(again)}"]
        again = app.one_run(
            command.args,
            conf_dir=str(conf_dir()),
            config_name=config_name,
            overrides=overrides,
            manner=Manner(again is not None, manifest.get("threads"), phase.until_steps),
        )
    assert again is not None, "a run has at least one phase"
    return again


def _phases(manifest: Mapping[str, Any], overrides: Sequence[str]) -> list[Phase]:
    if any(override.partition("=")[0] in BUDGET for override in overrides):
        return [Phase({})]  # another budget was asked for: no piece of the old one is left
    trainer = manifest["config"]["trainer"]
    return phases(manifest.get("sessions", []), {key: trainer[key.partition(".")[2]] for key in BUDGET})


def _until(folder: Path, manifest: Mapping[str, Any], until_epoch: str | None) -> int | None:
    """Where to leave off: at the epoch that was asked for, or where a run that did not complete was last evaluated."""
    from runner.results.recorded import read_run

    recorded = read_run(folder)
    if not recorded.last_evaluation:
        raise Refused([f"reproduce {folder}: it recorded no evaluation ({recorded.ending()}): nothing to compare"])
    limit = None if recorded.completed else recorded.last_evaluation
    if until_epoch is None:
        return limit
    try:
        steps = round(float(until_epoch) * manifest["steps_per_epoch"])
    except (ValueError, OverflowError):
        steps = 0
    first = min(step for step in recorded.evaluations if step)
    if steps < first:
        epoch = first / manifest["steps_per_epoch"]
        remedy = f"the first evaluation is at {epoch:g}"
        raise Refused([f"--until-epoch={until_epoch}: must be a number of epochs; {remedy}"])
    return int(min(steps, recorded.last_evaluation))


def _as_many_processes(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    """Overrides for the number that the run had; torchrun's, if that started this. Raises ``Refused`` for another."""
    recorded, now = manifest.get("world_size", 1), torchrun.world_size()
    if now == 1:
        return [] if recorded == manifest["config"]["trainer"].get("nproc", 1) else [f"trainer.nproc={recorded}"]
    if now != recorded:
        raise Refused([f"reproduce {folder}: was trained by {recorded} processes, torchrun has started {now}"])
    return ["trainer.nproc=1"]


def _keep_out_of(folder: Path, overrides: Sequence[str]) -> None:
    for override in overrides:
        key, _, value = override.partition("=")
        if key == "hydra.run.dir" and Path(value.strip("'\"")).resolve().is_relative_to(folder.resolve()):
            raise Refused([f"{override}: lies in the run that is reproduced; choose a folder outside of it"])


@contextmanager
def _switches(recorded: Mapping[str, str]) -> Iterator[None]:
    """Inside, the environment has the recorded switches of numerics and no others; torch reads them when imported."""
    before = dict(os.environ)
    for name in provenance.switches(before):
        del os.environ[name]
    os.environ.update({name: value for name, value in recorded.items() if name not in TOO_LATE})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
