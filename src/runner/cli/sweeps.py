"""Sweeps from the command line: started, checked, gone on with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hydra._internal.callbacks import Callbacks
from hydra._internal.hydra import Hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf

from runner.cli import saved_run
from runner.cli.app import farewell, goes_with, refuse_chdir, task_function
from runner.cli.compose import composed
from runner.problem import Interrupted, Refused

if TYPE_CHECKING:
    from hydra_plugins.runner_plugins._checked import CheckedSweeper
    from runner.sweep.conduct import Outcome


def frozen_task(cfg: DictConfig) -> dict[str, float]:
    """A job of a sweep under launchers that compose it anew: what was frozen counts, whatever ``conf/`` is by now."""
    from runner.config.build import plain
    from runner.manner import Manner
    from runner.results.manifest import config_digest
    from runner.sweep import ledger

    folder = Path(HydraConfig.get().runtime.output_dir)
    (entry,) = (entry for entry in ledger.read(folder.parent) if entry.name == folder.name)
    same = config_digest(plain(cfg)) == entry.config_digest
    resumes = ledger.state_of(folder).state != "missing"
    return task_function(cfg if same else entry.composed(), manner=Manner(resume=resumes))


def multirun(hydra: Hydra, config_name: str, overrides: list[str], *, check_only: bool = False) -> int:
    """Start a sweep, or go on with the one in its folder; the exit status."""
    sweeper = sweeper_of(hydra, config_name, overrides)
    sweeper.check_only = check_only
    assert sweeper.config is not None
    arguments = saved_run.unresolved(sweeper.config.hydra.overrides.task)
    try:
        outcome = sweeper.sweep(arguments)
    except Interrupted as error:
        raise _with_remedy(error, Path(sweeper.config.hydra.sweep.dir)) from error
    if check_only:
        print("\n".join([outcome.prospect(), *goes_with(sweeper.config)]))
        return 0
    return _told(outcome)


def resume(hydra: Hydra, config_name: str, folder: Path, overrides: list[str]) -> int:
    """Go on with the sweep in ``folder`` as its ledger has it; the exit status."""
    saved = OmegaConf.load(folder / "multirun.yaml") if (folder / "multirun.yaml").is_file() else None
    anew = any(override.startswith(("hydra/launcher", "hydra.launcher")) for override in overrides)
    launcher = None if anew or saved is None else OmegaConf.select(saved, "hydra.launcher")
    searching = None
    if (folder / "optuna.json").is_file():
        overrides = ["hydra/sweeper=optuna", *overrides]
        searching = None if saved is None else OmegaConf.select(saved, "hydra.sweeper")
    # As before: the number of jobs at once sets their threads, the sampler's seed what it samples.
    sweeper = sweeper_of(hydra, config_name, overrides, launcher, searching)
    try:
        outcome = sweeper.resume(folder)
    except Interrupted as error:
        raise _with_remedy(error, folder) from error
    return _told(outcome)


def _with_remedy(error: Interrupted, folder: Path) -> Interrupted:
    return Interrupted(f"{error}; the state is saved; to go on: python -m runner resume {folder}")


def sweeper_of(
    hydra: Hydra,
    config_name: str,
    overrides: list[str],
    launcher: DictConfig | None = None,
    settings: DictConfig | None = None,
) -> CheckedSweeper:
    """Our sweeper over ``launcher``, or the one that is chosen; with ``settings`` that ``overrides`` leave alone.

    Raises ``Refused`` for another sweeper.
    """
    from hydra.core.plugins import Plugins

    from runner.preflight.ranks import refuse_sweep

    refuse_sweep()
    from hydra_plugins.runner_plugins._checked import CheckedSweeper

    cfg = composed(lambda some: hydra.compose_config(config_name, list(some), run_mode=RunMode.MULTIRUN), overrides)
    refuse_chdir(cfg)
    target = str(cfg.hydra.sweeper._target_)
    if not target.startswith("hydra_plugins.runner_plugins."):
        raise Refused([f"hydra/sweeper must be runner or optuna: {target} would start jobs unchecked; leave it out"])
    if launcher is not None:
        cfg.hydra.launcher = launcher
    given = [override.partition("=")[0].lstrip("+") for override in overrides]
    for key, value in (settings or {}).items():
        full = f"hydra.sweeper.{key!s}"
        if not any(name == full or name.startswith(f"{full}.") for name in given):
            cfg.hydra.sweeper[key] = value
    sweeper = Plugins.instance().instantiate_sweeper(
        config=cfg,
        hydra_context=HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks(cfg)),
        task_function=frozen_task,
    )
    assert isinstance(sweeper, CheckedSweeper), "its target said so"
    return sweeper


def _told(outcome: Outcome) -> int:
    for line in outcome.lines():
        print(line)
    curves = any("tensorboard" in job.entry.config.get("logger", {}) for job in outcome.jobs)
    print(farewell(outcome.folder, {}, curves=curves))
    return 0 if outcome.completed else 1
