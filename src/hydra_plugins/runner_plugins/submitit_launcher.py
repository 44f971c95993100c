"""Hydra's launchers for jobs by submitit: on a Slurm cluster, and on this machine as Slurm would run them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from hydra_plugins.runner_plugins.frozen_launcher import FrozenLauncher, by, missing_extra, not_whole, plain

if TYPE_CHECKING:
    from runner.problem import Problem
    from runner.sweep.elsewhere import Elsewhere
    from runner.sweep.process import Job

COMMANDS = ("sbatch", "srun", "scancel", "sacct")
MAX_ARRAY = 1000
"""Jobs that are submitted at once: Slurm's own default limit (``MaxArraySize`` 1001)."""


class LocalSubmititLauncher(FrozenLauncher):
    """Up to ``n_jobs`` at once on this machine, each stopped and requeued after ``timeout_min`` as Slurm does it.

    ``gpus_per_node``: each job sees the first so many GPUs; they are not shared out, which the pool does.
    """

    def __init__(
        self,
        n_jobs: int = 1,
        timeout_min: int = 1440,
        signal_delay_s: int = 90,
        max_num_timeout: int = 3,
        gpus_per_node: int = 0,
        folder: str | None = None,
        fail_fast: bool = False,
    ) -> None:
        super().__init__(fail_fast=fail_fast)
        self._n_jobs = n_jobs
        self._numbers = {"timeout_min": timeout_min, "signal_delay_s": signal_delay_s, "gpus_per_node": gpus_per_node}
        self._max_num_timeout = max_num_timeout
        self._folder = folder

    def found(self, configs: Sequence[DictConfig]) -> list[Problem]:  # noqa: ARG002
        if absent := missing_extra("submitit", "slurm"):
            return [absent]
        return _wrong_numbers({**self._numbers, "n_jobs": self._n_jobs}, self._max_num_timeout)

    def threads(self, configs: Sequence[DictConfig]) -> int | None:  # noqa: ARG002
        from runner.sweep.slots import threads_each

        return threads_each(self._n_jobs)

    @contextmanager
    def place(self, jobs: Sequence[Job]) -> Iterator[Elsewhere[Any]]:
        from submitit import LocalExecutor

        from runner.sweep.by_submitit import ByLocalSubmitit, logs_of

        logs = self._folder or logs_of(jobs[0].folder.parent)
        executor = LocalExecutor(logs, max_num_timeout=self._max_num_timeout)
        executor.update_parameters(**self._numbers)
        yield by(ByLocalSubmitit(executor), at_once=self._n_jobs)


class SlurmLauncher(FrozenLauncher):
    """Each job is one of a Slurm array: one task on one node, which starts its ranks itself.

    Settings are named as submitit names them; None leaves one to the cluster. ``additional_parameters`` has any other
    option of ``sbatch``.
    """

    elsewhere = True

    def __init__(
        self,
        *,
        timeout_min: int = 1440,
        cpus_per_task: int = 4,
        gpus_per_node: int = 0,
        mem_gb: float | None = None,
        partition: str | None = None,
        account: str | None = None,
        qos: str | None = None,
        constraint: str | None = None,
        array_parallelism: int = 256,
        setup: Sequence[str] = (),
        additional_parameters: Mapping[str, Any] | None = None,
        signal_delay_s: int = 90,
        max_num_timeout: int = 3,
        folder: str | None = None,
        fail_fast: bool = False,
    ) -> None:
        super().__init__(fail_fast=fail_fast)
        self._numbers = {
            "timeout_min": timeout_min,
            "cpus_per_task": cpus_per_task,
            "gpus_per_node": gpus_per_node,
            "array_parallelism": array_parallelism,
            "signal_delay_s": signal_delay_s,
        }
        self._names = {"partition": partition, "account": account, "qos": qos, "constraint": constraint}
        self._mem_gb = mem_gb
        self._setup = list(setup)
        self._additional = plain(additional_parameters or {})
        self._max_num_timeout = max_num_timeout
        self._folder = folder

    def found(self, configs: Sequence[DictConfig]) -> list[Problem]:  # noqa: ARG002
        from runner.problem import Problem

        if absent := missing_extra("submitit", "slurm"):
            return [absent]
        found = _wrong_numbers(self._numbers, self._max_num_timeout)
        if self._mem_gb is not None and not self._mem_gb > 0:
            text = "must be more than 0"
            found.append(Problem("hydra.launcher.mem_gb", self._mem_gb, text, "set hydra.launcher.mem_gb=16"))
        if lacking := [name for name in COMMANDS if shutil.which(name) is None]:
            text = f"this machine has no {', '.join(lacking)}"
            found.append(Problem("hydra/launcher", "slurm", text, "start the sweep on a login node of the cluster"))
        return found

    def threads(self, configs: Sequence[DictConfig]) -> int | None:  # noqa: ARG002
        from runner.sweep.slots import threads_of

        return threads_of(self._numbers["cpus_per_task"])

    @contextmanager
    def place(self, jobs: Sequence[Job]) -> Iterator[Elsewhere[Any]]:
        from submitit import SlurmExecutor

        from runner.sweep.by_submitit import BySlurm, logs_of

        sweep = jobs[0].folder.parent
        executor = SlurmExecutor(self._folder or logs_of(sweep), max_num_timeout=self._max_num_timeout)
        numbers = {("time" if name == "timeout_min" else name): value for name, value in self._numbers.items()}
        executor.update_parameters(job_name=sweep.name, **numbers, **self._given())
        yield by(BySlurm(executor), at_once=MAX_ARRAY, switches_too=False)

    def _given(self) -> dict[str, Any]:
        """What the cluster does not decide."""
        given: dict[str, Any] = {name: value for name, value in self._names.items() if value is not None}
        if self._mem_gb is not None:
            given["mem"] = f"{round(self._mem_gb * 1024)}M"
        if self._setup:
            given["setup"] = self._setup
        if self._additional:
            given["additional_parameters"] = self._additional
        return given


def _wrong_numbers(numbers: Mapping[str, int], max_num_timeout: int) -> list[Problem]:
    from runner.problem import Problem

    may_be_0 = ("gpus_per_node", "max_num_timeout")
    found = [
        problem
        for key, value in {**numbers, "max_num_timeout": max_num_timeout}.items()
        for problem in not_whole(key, value, at_least=0 if key in may_be_0 else 1)
    ]
    if not found and numbers["signal_delay_s"] >= 60 * numbers["timeout_min"]:
        text = f"leaves a job nothing of its {numbers['timeout_min']} min"
        found.append(
            Problem("hydra.launcher.signal_delay_s", numbers["signal_delay_s"], text, "set hydra.launcher.timeout_min")
        )
    return found
