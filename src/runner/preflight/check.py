"""All checks over one run or over all jobs of a sweep. Torch is imported only when reading has found nothing."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from omegaconf import DictConfig, open_dict

from runner.config import build
from runner.preflight.disk import disk_problems, run_bytes
from runner.preflight.folder import taken, unusable
from runner.preflight.resume import data_problems, resume_problems
from runner.preflight.settings import settings_problems
from runner.preflight.targets import target_problems
from runner.problem import Problem


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


def check(jobs: Sequence[Job], *, sweep_folder: Path | None = None) -> list[str]:
    """A line for each problem of each distinct configuration; seeds cost nothing extra. Empty when all is well."""
    lines: dict[str, list[str]] = {}
    needed_bytes = 0
    for twins in _distinct(jobs):
        found, each_bytes = _problems(twins[0])
        needed_bytes += each_bytes * sum(not job.resumes for job in twins)  # the files of the others are there
        for problem in found:
            lines.setdefault(_named(problem, twins[0]).line(), []).extend(job.name for job in twins)
    for job in jobs:
        for problem in (resume_problems if job.resumes else taken)(job.folder, job.cfg):
            lines.setdefault(problem.line(), []).append(job.name)
    for job in [job for job in jobs if job.resumes and not lines]:
        for problem in data_problems(job.folder, job.cfg):
            lines.setdefault(problem.line(), []).append(job.name)
    where, key = (jobs[0].folder, "hydra.run.dir") if sweep_folder is None else (sweep_folder, "hydra.sweep.dir")
    for problem in [*unusable(where, key), *disk_problems(where, key, needed_bytes=needed_bytes)]:
        lines.setdefault(problem.line(), []).extend(job.name for job in jobs)
    if len(jobs) == 1:
        return list(lines)
    return [line if len(names) == len(jobs) else f"{line}  [{_some(names)}]" for line, names in lines.items()]


def _distinct(jobs: Sequence[Job]) -> list[list[Job]]:
    """Jobs that differ in nothing but the seed stand together."""
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        cfg = job.cfg.copy()
        cfg.seed = 0
        try:
            key = json.dumps(build.plain(cfg), sort_keys=True, default=str)
        except Exception:  # an interpolation that leads nowhere: reported for this job by its own check
            key = job.name
        groups.setdefault(key, []).append(job)
    return list(groups.values())


def _problems(job: Job) -> tuple[list[Problem], int]:
    """What is wrong with a job, and the bytes that its checkpoints will take, if that could be found out."""
    try:
        build.plain(job.cfg)
    except Exception as error:
        return [Problem("configuration", None, " ".join(str(error).split()), "")], 0
    found = settings_problems(job.cfg, job.overrides)
    if any(problem.value == "???" or "${" in str(problem.value) for problem in found):
        return found, 0
    found += target_problems(job.cfg)
    if any(problem.key.startswith("dataset") for problem in found):
        return found, 0
    tried, weights_bytes = _data_and_trial(job.cfg, found)
    return found + tried, run_bytes(weights_bytes, best=len(job.cfg.trainer.best))


def _data_and_trial(cfg: DictConfig, read: Sequence[Problem]) -> tuple[list[Problem], int]:
    """What the data lacks; and what using everything once shows, with the bytes of its weights.

    Data in hand are loaded whatever reading found elsewhere, a download waits until nothing else is wrong.
    """
    try:
        source = build.build_source(cfg.dataset)
        found = [replace(problem, key=f"dataset.{problem.key}") for problem in source.problems()]
        fetches = bool(getattr(source, "missing", list)())  # a download can wait until nothing else is wrong
        unclear = any(problem.key.startswith(("trainer", "debug")) for problem in read)
        splits = None if found or unclear or (read and fetches) else build.load_splits(cfg)
    except Exception as error:
        if os.environ.get("RUNNER_TRACEBACK"):
            traceback.print_exception(error)
        text = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        found, splits = [Problem("dataset", None, text, "")], None
    from runner.preflight.trial import device_problems, tried

    trial = tried(cfg, splits, clean=not read) if splits is not None else None
    shown, weights_bytes = (trial.problems, trial.weights_bytes) if trial is not None else ([], 0)
    return [*found, *device_problems(cfg), *shown], weights_bytes


def _named(problem: Problem, job: Job) -> Problem:
    """A problem of a whole group is told with the option that was chosen: ``model=vgg16``."""
    return replace(problem, value=job.choices[problem.key]) if problem.key in job.choices else problem


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(dict.fromkeys(names[:5]))
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
