"""Hydra's launcher for jobs side by side on one machine, each in a process of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from hydra_plugins.runner_plugins.frozen_launcher import IMPORTS, FrozenLauncher, nproc

if TYPE_CHECKING:
    from runner.problem import Problem
    from runner.sweep.pool import Pool
    from runner.sweep.process import Job
    from runner.sweep.slots import Limits, Slot


class PoolLauncher(FrozenLauncher):
    """One process for each job, forked from a server that has imported torch and not started CUDA.

    ``n_jobs`` of them run at once, one on each GPU unless told otherwise; ``gpus`` counts the visible ones from 0.
    CPU threads are split over the jobs where ``trainer.threads`` leaves their number open.
    """

    def __init__(
        self,
        n_jobs: int | None = None,
        gpus: Sequence[int] | None = None,
        jobs_per_gpu: int = 1,
        fail_fast: bool = False,
    ) -> None:
        super().__init__(fail_fast=fail_fast)
        self._asked = (n_jobs, None if gpus is None else list(gpus), jobs_per_gpu)

    def found(self, configs: Sequence[DictConfig]) -> list[Problem]:
        from runner.problem import Problem

        limits, visible = self._limits(configs), _visible(configs)
        found = [
            dataclasses.replace(problem, key=f"hydra.launcher.{problem.key}") for problem in limits.problems(visible)
        ]
        named = {str(device) for config in configs if _another_gpu(device := _device(config))}
        if not found and any(limits.slots(visible)):
            text = "each job is given a GPU of its own, which is cuda:0 to it"
            remedy = "set trainer.device=cuda, and hydra.launcher.gpus=[<n>]"
            found += [Problem("trainer.device", device, text, remedy) for device in sorted(named)]
        return found

    def threads(self, configs: Sequence[DictConfig]) -> int | None:
        from runner.sweep.slots import threads_each

        return threads_each(len(self._slots(configs)))

    def place(self, jobs: Sequence[Job]) -> AbstractContextManager[Pool]:
        from runner.cli.app import task_function
        from runner.sweep.pool import Pool, needed_imports, start_fork_server

        configs = [job.config for job in jobs]
        start_fork_server(*IMPORTS, *needed_imports(), *_drawing(configs))
        return nullcontext(Pool(task_function, self._slots(configs)))

    def _slots(self, configs: Sequence[DictConfig]) -> list[Slot]:
        return self._limits(configs).slots(_visible(configs))

    def _limits(self, configs: Sequence[DictConfig]) -> Limits:
        from runner.sweep.slots import Limits

        return Limits(*self._asked, gpus_per_job=max(nproc(config) for config in configs))


def _drawing(configs: Sequence[DictConfig]) -> tuple[str, ...]:
    """What draws at the end of jobs, if any does: half of the time that the first picture takes is its import."""
    from runner import drawing

    draws = drawing.available() and any("history" in (config.get("logger") or {}) for config in configs)
    return drawing.IMPORTS if draws else ()


def _visible(configs: Sequence[DictConfig]) -> list[str]:
    """The GPUs that matter to these jobs."""
    from runner.sweep.slots import visible_gpus

    return [] if {_device(config) for config in configs} == {"cpu"} else visible_gpus()


def _device(config: DictConfig) -> Any:
    return OmegaConf.select(config, "trainer.device")


def _another_gpu(device: object) -> bool:
    return str(device).startswith("cuda:") and device != "cuda:0"
