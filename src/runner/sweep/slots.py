"""How many jobs run at once, and with which GPU each. Free of torch, and CUDA is not started."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from runner.problem import Problem

VISIBLE = "CUDA_VISIBLE_DEVICES"

Slot = Mapping[str, str]
"""The environment variables of the job that holds a slot, besides those of the sweep."""


@dataclass(frozen=True)
class Limits:
    """What ``hydra.launcher`` asks for. ``gpus`` counts the visible ones from 0; None is all of them.

    ``gpus_per_job``: as many as a job starts processes.
    """

    n_jobs: int | None = None
    gpus: Sequence[int] | None = None
    jobs_per_gpu: int = 1
    gpus_per_job: int = 1

    def problems(self, visible: Sequence[str]) -> Iterator[Problem]:
        """What is wrong where ``visible`` GPUs are; each key is relative to the launcher."""
        for key, value in (("n_jobs", self.n_jobs), ("jobs_per_gpu", self.jobs_per_gpu)):
            if value is not None and (not isinstance(value, int) or value < 1):
                yield Problem(key, value, "must be a whole number of at least 1", f"set hydra.launcher.{key}=1")
                return
        absent = [gpu for gpu in self.gpus or () if not isinstance(gpu, int) or not 0 <= gpu < len(visible)]
        if absent:
            there = f"0 to {len(visible) - 1}" if visible else "none"
            yield Problem("gpus", list(self.gpus or ()), f"visible GPUs are {there}", "name some of these")
            return
        gpus = len(visible if self.gpus is None else self.gpus)
        groups = gpus // self.gpus_per_job
        if gpus and not groups:
            text = f"a job starts {self.gpus_per_job} processes, and there is room on {gpus} GPU{'s' * (gpus > 1)}"
            yield Problem("gpus", self.gpus and list(self.gpus), text, f"set trainer.nproc={gpus}")
        elif groups and self.n_jobs is not None and self.n_jobs > groups * self.jobs_per_gpu:
            text = f"there is room for {groups * self.jobs_per_gpu} jobs on {gpus} GPU{'s' * (gpus > 1)}"
            remedy = f"set hydra.launcher.jobs_per_gpu={-(-self.n_jobs // groups)}"
            yield Problem("n_jobs", self.n_jobs, text, remedy)

    def slots(self, visible: Sequence[str]) -> list[Slot]:
        """One for each job that may run at the same time; those next to each other are on different GPUs.

        Where there is nothing to choose the environment stays as it is.
        """
        chosen = list(visible) if self.gpus is None else [visible[gpu] for gpu in self.gpus]
        if not chosen:
            hidden: Slot = {VISIBLE: ""} if visible else {}
            return [hidden] * (self.n_jobs or 1)
        size = self.gpus_per_job
        groups = [chosen[first : first + size] for first in range(0, len(chosen) - size + 1, size)]
        narrowed: list[Slot] = [{VISIBLE: ",".join(group)} for group in groups] if len(visible) > 1 else [{}]
        return (narrowed * self.jobs_per_gpu)[: self.n_jobs]


def visible_gpus(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The GPUs that CUDA would find, by the names that ``CUDA_VISIBLE_DEVICES`` takes."""
    if VISIBLE not in environment:
        return [str(index) for index in range(_gpu_count())]
    named = [name.strip() for name in environment[VISIBLE].split(",")]
    invalid = next((place for place, name in enumerate(named) if not name or name.startswith("-")), len(named))
    return named[:invalid]  # CUDA, too, stops reading there


def _gpu_count() -> int:
    """As the driver's management library tells it; none when there is no driver."""
    count = ctypes.c_uint(0)
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL("libnvidia-ml.so.1")
        if library.nvmlInit_v2() == 0:
            library.nvmlDeviceGetCount_v2(ctypes.byref(count))
            library.nvmlShutdown()
    return count.value


def threads_each(jobs: int, environment: Mapping[str, str] = os.environ) -> int | None:
    """CPU threads for each of so many jobs at once; None leaves the number to torch.

    Nothing is set for one job alone, which is thus a single run, nor where ``OMP_NUM_THREADS`` has settled it.
    """
    if jobs == 1 or environment.get("OMP_NUM_THREADS"):
        return None
    return max(1, usable_cores() // jobs)


def threads_of(cpus: int, environment: Mapping[str, str] = os.environ) -> int | None:
    """CPU threads for a job that is given ``cpus`` CPUs, unless ``OMP_NUM_THREADS`` has settled it."""
    return None if environment.get("OMP_NUM_THREADS") else max(1, cpus)


def usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
