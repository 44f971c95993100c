"""Hydra's application around a run: compose, check, then start. Hydra's own ``main`` writes before it can be asked."""

from __future__ import annotations

import argparse
import functools
import gc
import logging
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra._internal.callbacks import Callbacks
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, run_job
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf, read_write

from runner import numbering
from runner.cli.compose import composed
from runner.problem import Failed, Interrupted, Refused, reason_of

if TYPE_CHECKING:
    from runner.manner import Manner
    from runner.observers.observer import Observer

log = logging.getLogger(__name__)


def start(
    args: argparse.Namespace,
    parser: argparse.ArgumentParser,
    *,
    conf_dir: str,
    config_name: str,
    check_only: bool = False,
) -> int:
    """Do what the parsed command line asks of Hydra; the exit status. ``check_only``: of a run or sweep no more."""
    with configured(args, conf_dir) as hydra:
        return _answer(hydra, args, parser, config_name, check_only=check_only)


def one_run(
    args: argparse.Namespace,
    *,
    conf_dir: str,
    config_name: str,
    overrides: Sequence[str],
    manner: Manner,
    note: str = "",
) -> Path:
    """A single run in a manner of its own; its folder. ``note`` is said when it starts. Raises as a run does."""
    with configured(args, conf_dir) as hydra:
        return _single(hydra, config_name, list(overrides), manner, note)


@contextmanager
def configured(args: argparse.Namespace, conf_dir: str) -> Iterator[Hydra]:
    """Hydra over the shipped groups, and those of ``--config-dir``. Raises ``Refused`` for no such folder."""
    search_path = create_config_search_path(conf_dir)
    if args.config_dir is not None:
        extra = os.path.abspath(args.config_dir)  # noqa: PTH100 - as Hydra does: no symlinks resolved
        if not os.path.isdir(extra):  # noqa: PTH112
            raise Refused(
                [f"--config-dir={args.config_dir}: there is no such folder; give the folder that holds your groups"]
            )
        search_path.prepend("command-line", f"file://{extra}", anchor=SearchPathQuery(provider="main"))
    GlobalHydra.instance().clear()
    try:
        yield Hydra.create_main_hydra2("runner", search_path)
    finally:
        GlobalHydra.instance().clear()


def _answer(
    hydra: Hydra, args: argparse.Namespace, parser: argparse.ArgumentParser, config_name: str, *, check_only: bool
) -> int:
    if args.experimental_rerun is not None:
        raise Refused(["--experimental-rerun: is not for this program; repeat a run with --config-path RUN/.hydra"])
    if args.hydra_help:
        hydra.hydra_help(config_name=config_name, args_parser=parser, args=args)
    elif args.cfg:
        hydra.show_cfg(
            config_name=config_name,
            overrides=args.overrides,
            cfg_type=args.cfg,
            package=args.package,
            resolve=args.resolve,
        )
    elif args.shell_completion:
        hydra.shell_completion(config_name=config_name, overrides=args.overrides)
    elif args.info:
        hydra.show_info(args.info, config_name=config_name, overrides=args.overrides)
    elif args.multirun:
        from runner.cli import sweeps

        return sweeps.multirun(hydra, config_name, args.overrides, check_only=check_only)
    elif check_only:
        HydraConfig.instance().cfg = None
        try:
            _, folder = checked(hydra, config_name, args.overrides)
            print(f"ready: {numbering.foreseen(folder)}")
        finally:  # what would fit is of use where something does not
            for line in goes_with(HydraConfig.instance().cfg):
                print(line)
    else:
        _single(hydra, config_name, args.overrides)
    return 0


def goes_with(composed: Any) -> Iterator[str]:
    """For the console: what fits the chosen task; nothing for what could not be composed."""
    from runner.preflight import fits

    return iter(()) if composed is None else fits.lines_of(str(composed.hydra.runtime.choices.get("task")))


def task_function(
    cfg: DictConfig, *, manner: Manner | None = None, observers: Sequence[Observer] = ()
) -> dict[str, float]:
    """What Hydra calls for each job, in whatever process its launcher starts. ``observers`` are those of ``run``.

    The folder is this process's alone from here on, and its ``.hydra/`` appears whole.
    """
    from runner.cli import saved_run
    from runner.lock import held
    from runner.manner import Manner
    from runner.preflight.folder import taken

    gc.enable()
    manner = manner or Manner()
    folder = Path(HydraConfig.get().runtime.output_dir)
    with held(folder):
        others = [] if manner.resume else [problem.line() for problem in taken(folder, cfg)]
        if others:  # since the checks, another process was faster
            raise Refused(others)
        saved_run.write(folder, cfg, OmegaConf.create({"hydra": HydraConfig.get()}))
        return _executed(cfg, folder, manner, observers)


def _executed(cfg: DictConfig, folder: Path, manner: Manner, observers: Sequence[Observer]) -> dict[str, float]:
    """In this process, in several that it starts, or with those that torchrun has started."""
    from runner import torchrun

    hydra, nproc = HydraConfig.get(), cfg.trainer.nproc
    if torchrun.world_size() > 1:
        env_set = {name: str(value) for name, value in hydra.job.env_set.items()}
        return torchrun.led(cfg, folder, manner=manner, observers=observers, env_set=env_set)
    if nproc > 1:
        from runner.launch import launched
        from runner.sweep.slots import threads_each

        manner = replace(manner, threads=manner.threads or threads_each(nproc))
        job_logging = OmegaConf.to_container(hydra.job_logging, resolve=True)
        assert isinstance(job_logging, dict)
        return launched(cfg, folder, manner=manner, observers=observers, job_logging=job_logging)
    from runner.run import run

    return run(cfg, folder, name=folder.name, manner=manner, observers=observers)


def checked(
    hydra: Hydra, config_name: str, overrides: list[str], manner: Manner | None = None
) -> tuple[DictConfig, Path]:
    """A single run's configuration, and its folder, as it is asked for. Raises ``Refused`` with all that is wrong."""
    from runner.manner import Manner
    from runner.preflight import Job, check
    from runner.preflight.ranks import refuse_other_world

    cfg = composed(lambda some: hydra.compose_config(config_name, list(some), run_mode=RunMode.RUN), overrides)
    refuse_chdir(cfg)
    HydraConfig.instance().set_config(cfg)
    folder = Path(OmegaConf.select(cfg, "hydra.run.dir"))
    manner = manner or Manner()
    resumes = manner.resume
    found = check([Job.of(cfg, name=folder.name, folder=folder, overrides=overrides, resumes=resumes)])
    for note in found.notes():
        print(f"runner: {note}", file=sys.stderr)
    found.raise_wrong()
    print("".join(f"{line}\n" for line in found.prospects()), end="")
    if resumes:
        refuse_other_world(folder, cfg.trainer.nproc, allowed=manner.change_world_size)
    return cfg, folder


def _single(hydra: Hydra, config_name: str, overrides: list[str], manner: Manner | None = None, note: str = "") -> Path:
    from runner.preflight.folder import make_folder

    cfg, asked = checked(hydra, config_name, overrides, manner)
    if note:
        print(note)
    folder = make_folder(asked, "hydra.run.dir")
    with read_write(cfg.hydra):
        cfg.hydra.run.dir = str(folder)  # settled: another number would be the next one from here on
    callbacks = Callbacks(cfg)
    callbacks.on_run_start(config=cfg, config_name=config_name)
    try:
        ret = run_job(
            hydra_context=HydraContext(config_loader=hydra.config_loader, callbacks=callbacks),
            task_function=functools.partial(task_function, manner=manner),
            config=cfg,
            job_dir_key="hydra.run.dir",
            job_subdir_key=None,
        )
    except Interrupted as error:
        last = folder / "checkpoints" / "last.pt"
        told = f"{error}; the state is saved in {last}" if last.is_file() else str(error)
        raise Interrupted(f"{told}; to go on: python -m runner resume {folder}") from error
    callbacks.on_run_end(config=cfg, config_name=config_name, job_return=ret)
    if ret.status != JobStatus.COMPLETED:
        raise ret._return_value if isinstance(ret._return_value, Refused) else failure(ret, folder)
    print(farewell(folder, {} if "console" in cfg.logger else ret.return_value, curves="tensorboard" in cfg.logger))
    return folder


def refuse_chdir(cfg: DictConfig) -> None:
    """Relative paths were checked from here. Raises ``Refused``."""
    if cfg.hydra.job.chdir:
        raise Refused(["hydra.job.chdir=true: would change what relative paths mean; leave it false"])


def failure(job: JobReturn, folder: Path) -> Failed:
    """Why a run failed and where to read on. Asking the job itself would print Hydra's own words first."""
    error = job._return_value
    failed = Failed(f"{folder.name} failed: {reason_of(error)}; the traceback is in {folder / 'runner.log'}")
    failed.__cause__ = error
    return failed


def farewell(folder: Path, scores: Mapping[str, float], *, curves: bool) -> str:
    """What the user may want to know last: the scores, where the results are, how to see the curves."""
    lines = ["  ".join(f"{name} {value:.4g}" for name, value in scores.items())] if scores else []
    lines.append(f"results: {folder}")
    if curves:
        lines.append(f"to see the curves: tensorboard --logdir {shlex.quote(str(folder))}")
    return "\n".join(lines)
