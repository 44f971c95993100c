"""Hydra's launcher for jobs by joblib, and by the backends that plug into it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from hydra_plugins.runner_plugins.frozen_launcher import FrozenLauncher, by, missing_extra

if TYPE_CHECKING:
    from runner.problem import Problem
    from runner.sweep.elsewhere import Elsewhere
    from runner.sweep.process import Job

HERE = ("loky", "threading", "multiprocessing", "sequential")
"""Backends that stay on this machine."""


class JoblibLauncher(FrozenLauncher):
    """``n_jobs`` and ``backend`` are joblib's. GPUs are not shared out among the jobs: the pool does that."""

    def __init__(self, n_jobs: int = -1, backend: str = "loky", fail_fast: bool = False) -> None:
        super().__init__(fail_fast=fail_fast)
        self._n_jobs = n_jobs
        self._backend = backend
        self.elsewhere = backend not in HERE

    def found(self, configs: Sequence[DictConfig]) -> list[Problem]:  # noqa: ARG002
        from runner.problem import Problem

        if absent := missing_extra("joblib", "joblib"):
            return [absent]
        if not isinstance(self._n_jobs, int) or self._n_jobs == 0:
            text, remedy = "must be a whole number other than 0", "set hydra.launcher.n_jobs=-1 for one a core"
            return [Problem("hydra.launcher.n_jobs", self._n_jobs, text, remedy)]
        from joblib.parallel import BACKENDS, EXTERNAL_BACKENDS

        backends = sorted({*BACKENDS, *EXTERNAL_BACKENDS})
        if self._backend not in backends:
            text = f"joblib knows {', '.join(backends)}"
            return [Problem("hydra.launcher.backend", self._backend, text, "set hydra.launcher.backend=loky")]
        return []

    def threads(self, configs: Sequence[DictConfig]) -> int | None:  # noqa: ARG002
        from joblib import effective_n_jobs, parallel_config

        from runner.sweep.slots import threads_each

        with parallel_config(backend=self._backend):
            return threads_each(effective_n_jobs(self._n_jobs))

    @contextmanager
    def place(self, jobs: Sequence[Job]) -> Iterator[Elsewhere[int]]:
        from runner.sweep.by_joblib import STOP, ByJoblib

        library = ByJoblib(self._n_jobs, self._backend, jobs[0].folder.parent / STOP)
        with library.opened():
            yield by(library, at_once=len(jobs))
