"""All checks over one run or over all jobs of a sweep. Torch is imported only when reading has found nothing."""

from __future__ import annotations

import functools
import json
import os
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, open_dict

from runner.config import build
from runner.preflight.disk import disk_problems, run_bytes
from runner.preflight.finding import find_problems
from runner.preflight.findings import Findings, Gathered
from runner.preflight.folder import taken, unusable
from runner.preflight.ranks import ranks_problems
from runner.preflight.resume import data_problems, resume_problems
from runner.preflight.settings import settings_problems
from runner.preflight.targets import target_problems
from runner.problem import Problem

if TYPE_CHECKING:
    from runner.data.source import Splits


FEW = 3  # configurations that are tried one by one on the CPU


@dataclass(frozen=True)
class Job:
    """One run as it was asked for. ``choices`` are the options of its groups, for messages: {"model": "vgg16"}."""

    name: str
    cfg: DictConfig
    folder: Path
    overrides: Sequence[str] = ()
    choices: dict[str, str] = field(default_factory=dict)
    resumes: bool = False  # goes on with the run that its folder holds

    @classmethod
    def of(
        cls, composed: DictConfig, *, name: str, folder: Path, overrides: Sequence[str], resumes: bool = False
    ) -> Job:
        """From what Hydra composed: its own part is taken off."""
        cfg = composed.copy()
        with open_dict(cfg):
            del cfg["hydra"]
        if resumes:  # the weights come from a checkpoint: the file that they began with may be gone
            cfg.init_from = cfg.init_prefix = cfg.init_pattern = None
        choices = composed.hydra.runtime.choices.items()
        given = {str(group): str(option) for group, option in choices if option is not None}
        return cls(name=name, cfg=cfg, folder=folder, overrides=list(overrides), choices=given, resumes=resumes)


def check(jobs: Sequence[Job], *, sweep_folder: Path | None = None, elsewhere: bool = False) -> Findings:
    """What is wrong with each distinct configuration, and what could not be checked; seeds cost nothing extra.

    ``elsewhere``: the jobs run on other machines, whose devices are not known here.
    """
    wrong, unchecked, told, needed_bytes = Gathered(), Gathered(), Gathered(), 0
    groups = _distinct(jobs)
    for twins in groups:
        names = [job.name for job in twins]
        verdict = _verdict(twins[0], elsewhere=elsewhere, few=len(groups) <= FEW)
        needed_bytes += verdict.run_bytes * sum(not job.resumes for job in twins)  # the files of the others are there
        wrong.add((_named(problem, twins[0]) for problem in verdict.problems), names)
        unchecked.add((_named(problem, twins[0]) for problem in verdict.unchecked), names)
        told.add(verdict.told, names)
    for job in jobs:
        resumable = functools.partial(resume_problems, elsewhere=elsewhere)
        wrong.add((resumable if job.resumes else taken)(job.folder, job.cfg), [job.name])
    for job in [job for job in jobs if job.resumes and not wrong]:
        wrong.add(data_problems(job.folder, job.cfg), [job.name])
    where, key = (jobs[0].folder, "hydra.run.dir") if sweep_folder is None else (sweep_folder, "hydra.sweep.dir")
    of_all = [*unusable(where, key), *disk_problems(where, key, needed_bytes=needed_bytes)]
    wrong.add(of_all, [job.name for job in jobs])
    return Findings([job.name for job in jobs], wrong.all(), unchecked.all(), told.all())


def _distinct(jobs: Sequence[Job]) -> list[list[Job]]:
    """Jobs that differ in nothing but the seed itself stand together."""
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        try:
            key = json.dumps({**build.plain(job.cfg), "seed": None}, sort_keys=True, default=str)
        except Exception:  # an interpolation that leads nowhere: reported for this job by its own check
            key = job.name
        groups.setdefault(key, []).append(job)
    return list(groups.values())


@dataclass(frozen=True)
class _Verdict:
    problems: Sequence[Problem]
    unchecked: Sequence[Problem] = ()
    run_bytes: int = 0  # that its checkpoints and its trajectory will take, if that could be found out
    told: Sequence[Problem] = ()  # nothing wrong, but worth knowing before


def _verdict(job: Job, *, elsewhere: bool, few: bool) -> _Verdict:
    try:
        build.plain(job.cfg)
    except Exception as error:
        return _Verdict([Problem("configuration", None, " ".join(str(error).split()), "")])
    found = [*settings_problems(job.cfg, job.overrides), *ranks_problems(job.cfg)]
    if any(problem.value == "???" or "${" in str(problem.value) for problem in found):
        return _Verdict(found)
    found += [*find_problems(job.cfg), *target_problems(build.tentative(job.cfg))]
    if any(problem.key.startswith("dataset") for problem in found):
        return _Verdict(found)
    return _tried(job.cfg, found, elsewhere=elsewhere, few=few)


def _tried(cfg: DictConfig, read: Sequence[Problem], *, elsewhere: bool, few: bool) -> _Verdict:
    """What reading found, what the data lack, and what using everything once shows."""
    problems, splits = _data(cfg, read)
    from runner.preflight.ranks import gpus_problems
    from runner.preflight.trial import device_problems, tried

    if not elsewhere:
        problems += [*device_problems(cfg), *gpus_problems(cfg)]
    if splits is None:
        return _Verdict([*read, *problems])
    trial = tried(cfg, splits, clean=not read, elsewhere=elsewhere, at_once=few)
    checkpoints_bytes = run_bytes(trial.weights_bytes, best=len(cfg.trainer.best), keep_best=cfg.trainer.keep_best)
    lines = {"trajectory": trial.recorded, "freeze": trial.frozen}
    told = [Problem(key, None, line, "") for key, line in lines.items() if line]
    return _Verdict(
        [*read, *problems, *trial.problems], trial.unchecked, checkpoints_bytes + trial.recorded_bytes, told
    )


def _data(cfg: DictConfig, read: Sequence[Problem]) -> tuple[list[Problem], Splits | None]:
    """What the data lack, or the data.

    Data in hand are loaded whatever reading found elsewhere, a download waits until nothing else is wrong.
    """
    try:
        source = build.build_source(cfg.dataset)
        found = [replace(problem, key=f"dataset.{problem.key}") for problem in source.problems()]
        fetches = bool(getattr(source, "missing", list)())  # a download can wait until nothing else is wrong
        unclear = any(problem.key.startswith(("trainer", "debug")) for problem in read)
        return found, None if found or unclear or (read and fetches) else build.load_splits(cfg)
    except Exception as error:
        if os.environ.get("RUNNER_TRACEBACK"):
            traceback.print_exception(error)
        text = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        return [Problem("dataset", None, text, "")], None


def _named(problem: Problem, job: Job) -> Problem:
    """A problem of a whole group is told with the option that was chosen: ``model=vgg16``."""
    return replace(problem, value=job.choices[problem.key]) if problem.key in job.choices else problem
