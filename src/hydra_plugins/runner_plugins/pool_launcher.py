"""Hydra's launcher for jobs side by side on one machine, each in a process of its own.

Hydra demands that launchers live in this namespace. It works under any sweeper.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, configure_log, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

if TYPE_CHECKING:
    from runner.sweep.ending import Ending
    from runner.sweep.process import Job
    from runner.sweep.slots import Limits


class PoolLauncher(Launcher):
    """One process for each job, forked from a server that has imported torch and not started CUDA.

    ``n_jobs`` of them run at once, one on each GPU unless told otherwise; ``gpus`` counts the visible ones from 0.
    CPU threads are split over the jobs where ``trainer.threads`` leaves their number open. A job that fails stops no
    other, unless ``fail_fast`` is set.
    """

    def __init__(
        self,
        n_jobs: int | None = None,
        gpus: Sequence[int] | None = None,
        jobs_per_gpu: int = 1,
        fail_fast: bool = False,
    ) -> None:
        super().__init__()
        self._asked = (n_jobs, None if gpus is None else list(gpus), jobs_per_gpu)
        self._fail_fast = fail_fast
        self.hydra_context: HydraContext | None = None
        self.config: DictConfig | None = None

    def setup(
        self,
        *,
        hydra_context: HydraContext,
        task_function: TaskFunction,  # noqa: ARG002 - named so by Hydra
        config: DictConfig,
    ) -> None:
        """Jobs run by ``runner.cli.app.task_function``: a ``task_function`` of Hydra's takes a configuration only."""
        self.hydra_context = hydra_context
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Compose each job and run all; their returns in the same order. Raises as ``launch_frozen`` does."""
        assert self.config is not None
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        return self.launch_frozen(
            [self._composed(job, initial_job_idx + number) for number, job in enumerate(job_overrides)]
        )

    def _composed(self, overrides: Sequence[str], number: int) -> DictConfig:
        assert self.hydra_context is not None
        assert self.config is not None
        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        return config

    def problems(self, configs: Sequence[DictConfig]) -> list[str]:
        """A line for each setting of the launcher with which these jobs cannot be run here."""
        from runner.problem import Problem

        limits, visible = self._limits(), self._visible(configs)
        found = [
            dataclasses.replace(problem, key=f"hydra.launcher.{problem.key}") for problem in limits.problems(visible)
        ]
        named = {str(device) for config in configs if _another_gpu(device := _device(config))}
        if not found and any(limits.slots(visible)):
            text = "each job is given a GPU of its own, which is cuda:0 to it"
            remedy = "set trainer.device=cuda, and hydra.launcher.gpus=[<n>]"
            found += [Problem("trainer.device", device, text, remedy) for device in sorted(named)]
        return [problem.line() for problem in found]

    def launch_frozen(
        self,
        configs: Sequence[DictConfig],
        *,
        resume: Sequence[bool] | None = None,
        on_end: Callable[[str], None] | None = None,
    ) -> list[JobReturn]:
        """Run jobs that are composed already, Hydra's part included; what they returned or why not, in their order.

        Where ``resume`` is true the run in the job's folder goes on. ``on_end`` is called with the name of each job
        that has ended, in this process. Raises ``Refused`` before anything is started when the settings of the
        launcher do not fit, and ``Interrupted`` when the sweep was asked to stop.
        """
        from runner.cli.app import task_function
        from runner.problem import Refused
        from runner.sweep.pool import Pool, start_fork_server
        from runner.sweep.view import view_of

        if not configs:
            return []
        if problems := self.problems(configs):
            raise Refused(problems)
        slots = self._limits().slots(self._visible(configs))
        jobs = [
            _job(config, resumes=resumes, at_once=len(slots))
            for config, resumes in zip(configs, resume or [False] * len(configs), strict=True)
        ]
        start_fork_server("runner.cli.app", "runner.cli.saved_run")
        view = view_of(len(jobs))
        pool = Pool(task_function, slots, view=view, fail_fast=self._fail_fast, on_end=on_end)
        endings = pool.run(jobs)
        return [_returned(job, ending) for job, ending in zip(jobs, endings, strict=True)]

    def _limits(self) -> Limits:
        from runner.sweep.slots import Limits

        return Limits(*self._asked)

    @staticmethod
    def _visible(configs: Sequence[DictConfig]) -> list[str]:
        """The GPUs that matter to these jobs."""
        from runner.sweep.slots import visible_gpus

        return [] if {_device(config) for config in configs} == {"cpu"} else visible_gpus()


def _device(config: DictConfig) -> Any:
    return OmegaConf.select(config, "trainer.device")


def _another_gpu(device: object) -> bool:
    return str(device).startswith("cuda:") and device != "cuda:0"


def _job(config: DictConfig, *, resumes: bool, at_once: int) -> Job:
    """A job with its folder and threads; a run that goes on keeps the number that it had."""
    from runner.manner import Manner
    from runner.results.manifest import read_json
    from runner.sweep.process import Job
    from runner.sweep.slots import threads_each

    HydraConfig.instance().set_config(config)  # what the folder's name may refer to
    where = config.hydra.sweep
    with read_write(config.hydra), open_dict(config.hydra):
        where.dir, where.subdir = str(where.dir), str(where.subdir)  # resolved here, once
    folder = Path(where.dir, where.subdir)
    before = read_json(folder / "manifest.json").get("threads") if resumes else None
    manner = Manner(resume=resumes, threads=before or threads_each(at_once))
    return Job(name=folder.name, folder=folder, config=config, manner=manner)


def _returned(job: Job, ending: Ending) -> JobReturn:
    """What Hydra's own launchers make of a job."""
    from runner.problem import Failed

    hydra_cfg = OmegaConf.masked_copy(job.config, "hydra")
    with read_write(hydra_cfg.hydra), open_dict(hydra_cfg.hydra):
        hydra_cfg.hydra.runtime.output_dir = str(job.folder.absolute())
    task_cfg = job.config.copy()
    with read_write(task_cfg), open_dict(task_cfg):
        del task_cfg["hydra"]
    completed = ending.state == "completed"
    return JobReturn(
        overrides=list(job.config.hydra.overrides.task),
        cfg=task_cfg,
        hydra_cfg=hydra_cfg,
        working_dir=str(Path.cwd()),
        task_name=job.config.hydra.job.name,
        status=JobStatus.COMPLETED if completed else JobStatus.FAILED,
        _return_value=ending.returned if completed else Failed(ending.cause),
    )
