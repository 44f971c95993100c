"""Hydra's launcher for jobs on a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from hydra_plugins.runner_plugins.frozen_launcher import FrozenLauncher, by, missing_extra, plain

if TYPE_CHECKING:
    from runner.problem import Problem
    from runner.sweep.elsewhere import Elsewhere
    from runner.sweep.process import Job


class RayLauncher(FrozenLauncher):
    """Jobs are tasks of the cluster at ``address``; without one, of a cluster on this machine that ends with the sweep.

    Each job has ``num_cpus`` CPUs, as many threads where ``trainer.threads`` leaves their number open, and
    ``num_gpus`` GPUs; all machines see the sweep's folder under the same path. ``max_retries``: how often a job goes
    on elsewhere when its machine has failed.
    """

    def __init__(
        self,
        address: str | None = None,
        init: Mapping[str, Any] | None = None,
        num_cpus: float = 1,
        num_gpus: float = 0,
        resources: Mapping[str, float] | None = None,
        max_retries: int = 3,
        fail_fast: bool = False,
    ) -> None:
        super().__init__(fail_fast=fail_fast)
        self._address = address
        self.elsewhere = address is not None
        self._init = plain(init or {})
        self._asked = {"num_cpus": num_cpus, "num_gpus": num_gpus, "max_retries": max_retries}
        self._resources = plain(resources or {})

    def found(self, configs: Sequence[DictConfig]) -> list[Problem]:  # noqa: ARG002
        from runner.problem import Problem

        if absent := missing_extra("ray", "ray"):
            return [absent]
        found = []
        for key, value in self._asked.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
                text, remedy = "must be a number of at least 0", f"set hydra.launcher.{key}=1"
                found.append(Problem(f"hydra.launcher.{key}", value, text, remedy))
        if not found and self._address is None:
            found += self._too_large()
        return found

    def _too_large(self) -> Iterator[Problem]:
        """For the cluster that would be started here: the job would wait for ever."""
        from runner.problem import Problem

        has = self._init.get("num_cpus") or os.cpu_count() or 1
        if self._asked["num_cpus"] > has:
            text, remedy = f"this machine's cluster has {has} CPUs", f"set hydra.launcher.num_cpus={has}"
            yield Problem("hydra.launcher.num_cpus", self._asked["num_cpus"], text, remedy)

    def threads(self, configs: Sequence[DictConfig]) -> int | None:  # noqa: ARG002
        from runner.sweep.slots import threads_of

        return threads_of(int(self._asked["num_cpus"]))

    @contextmanager
    def place(self, jobs: Sequence[Job]) -> Iterator[Elsewhere[Any]]:
        from runner.sweep.by_ray import ByRay, connected

        options = {**self._asked, "resources": self._resources or None}
        with connected(self._address, self._init, cpus=self._asked["num_cpus"], gpus=self._asked["num_gpus"]):
            yield by(ByRay(options), at_once=len(jobs))
