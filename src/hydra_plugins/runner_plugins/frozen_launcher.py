"""What our launchers have in common: jobs run from their frozen configurations, wherever they run.

Hydra demands that launchers live in this namespace, and inherit.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, configure_log, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

if TYPE_CHECKING:
    from runner.problem import Problem
    from runner.sweep.elsewhere import Elsewhere, Library
    from runner.sweep.ending import Ending
    from runner.sweep.launching import Place
    from runner.sweep.process import Job

T = TypeVar("T")

IMPORTS = ("runner.cli.app", "runner.cli.saved_run")
"""What the fork server of any launcher imports, besides torch."""


class FrozenLauncher(Launcher):
    """Starts jobs at a place, waits for all, and tells what they returned. It works under any sweeper.

    A job that fails stops no other, unless ``fail_fast`` is set.
    """

    elsewhere = False  # whether jobs may run on other machines, whose devices are not known here

    def __init__(self, *, fail_fast: bool = False) -> None:
        super().__init__()
        self._fail_fast = fail_fast
        self.hydra_context: HydraContext | None = None
        self.config: DictConfig | None = None

    @abstractmethod
    def found(self, configs: Sequence[DictConfig]) -> list[Problem]:
        """What is wrong with the settings for these jobs; each with its whole key."""

    @abstractmethod
    def threads(self, configs: Sequence[DictConfig]) -> int | None:
        """CPU threads of a job where ``trainer.threads`` leaves them open; None leaves the number to torch.

        The processes of a job share them.
        """

    @abstractmethod
    def place(self, jobs: Sequence[Job]) -> AbstractContextManager[Place[Any]]:
        """Where the jobs run; it is closed when all have ended."""

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
        return [problem.line() for problem in self.found(configs)]

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
        from runner.problem import Refused
        from runner.sweep.launching import Launch
        from runner.sweep.view import view_of

        if not configs:
            return []
        if problems := self.problems(configs):
            raise Refused(problems)
        threads = self.threads(configs)
        jobs = [
            _job(config, resumes=resumes, threads=threads)
            for config, resumes in zip(configs, resume or [False] * len(configs), strict=True)
        ]
        with self.place(jobs) as place:
            endings = Launch(place, view=view_of(len(jobs)), fail_fast=self._fail_fast, on_end=on_end).run(jobs)
        return [_returned(job, ending) for job, ending in zip(jobs, endings, strict=True)]


def by(library: Library[T], *, at_once: int, switches_too: bool = True) -> Elsewhere[T]:
    """The place whose jobs ``library`` runs; ``switches_too`` is that of ``Errand.of``."""
    from runner.cli.app import task_function
    from runner.sweep.elsewhere import Elsewhere
    from runner.sweep.errand import Errand

    def errand_of(job: Job) -> Errand:
        return Errand.of(task_function, job, imports=IMPORTS, switches_too=switches_too)

    return Elsewhere(library, errand_of, at_once=at_once)


def plain(given: Any) -> Any:
    """A setting that Hydra gave as its own kind of list or mapping, as a plain one."""
    return OmegaConf.to_container(given) if OmegaConf.is_config(given) else given


def nproc(config: DictConfig) -> int:
    """How many processes a job is."""
    return max(1, OmegaConf.select(config, "trainer.nproc") or 1)


def missing_extra(module: str, extra: str) -> Problem | None:
    """That a library is not installed; what it needs itself is not looked at."""
    from importlib.util import find_spec

    from runner.problem import Problem

    if find_spec(module) is not None:
        return None
    return Problem("hydra/launcher", None, f"needs {module}", f"install it with: pip install 'runner[{extra}]'")


def not_whole(key: str, value: object, *, at_least: int) -> Iterator[Problem]:
    from runner.problem import Problem

    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        text = f"must be a whole number of at least {at_least}"
        yield Problem(f"hydra.launcher.{key}", value, text, f"set hydra.launcher.{key}={at_least}")


def _job(config: DictConfig, *, resumes: bool, threads: int | None) -> Job:
    """A job with its folder and threads; a run that goes on keeps the number that it had."""
    from runner.manner import Manner
    from runner.results.manifest import read_json
    from runner.sweep.process import Job

    HydraConfig.instance().set_config(config)  # what the folder's name may refer to
    where = config.hydra.sweep
    with read_write(config.hydra), open_dict(config.hydra):
        where.dir, where.subdir = str(where.dir), str(where.subdir)  # resolved here, once
    folder = Path(where.dir, where.subdir)
    before = read_json(folder / "manifest.json").get("threads") if resumes else None
    each = None if threads is None else max(1, threads // nproc(config))
    return Job(folder.name, folder, config, Manner(resume=resumes, threads=before or each))


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
