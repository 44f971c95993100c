"""Hydra's grid sweep with every job composed, named and checked before the first one starts.

Hydra demands that sweepers live in this namespace. It works over any launcher.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, filter_overrides
from omegaconf import DictConfig, OmegaConf, open_dict

log = logging.getLogger(__name__)


class RunnerSweeper(BasicSweeper):
    """Sweeps seeds, models and anything else into ``<model>__<seed>`` folders."""

    def sweep(self, arguments: list[str]) -> list[tuple[str, JobReturn]]:
        """Run all jobs; ``(name, return)`` of each, failed ones too.

        Raises ``Refused`` before anything is written when any job is misconfigured.
        """
        from runner.preflight.folder import make_folder
        from runner.problem import Refused
        from runner.sweep.jobs import job_names

        assert self.config is not None
        assert self.launcher is not None
        jobs = self._product(arguments)
        composed = self._composed(jobs)
        models = [str(cfg.hydra.runtime.choices.get("model", "model")) for cfg in composed]
        names = job_names([filter_overrides(job) for job in jobs], models, [cfg.seed for cfg in composed])
        folder = Path(self.config.hydra.sweep.dir)
        problems = self._check(composed, jobs, names, folder)
        if problems:
            raise Refused(problems)

        make_folder(folder, "hydra.sweep.dir")
        OmegaConf.save(self.config, folder / "multirun.yaml")
        where = str(folder).replace("'", "\\'")  # resolved once: each job would read the clock anew
        placed = [
            [*job, f"hydra.sweep.dir='{where}'", f"hydra.sweep.subdir='{name}'"]
            for job, name in zip(jobs, names, strict=True)
        ]
        returns = self.launcher.launch(placed, initial_job_idx=0)
        return list(zip(names, returns, strict=True))

    def _product(self, arguments: list[str]) -> list[list[str]]:
        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        (jobs,) = self.split_arguments(overrides, max_batch_size=None)
        return jobs

    def _composed(self, jobs: Sequence[Sequence[str]]) -> list[DictConfig]:
        """Every job's configuration. Raises ``Refused`` with a line for each way in which one cannot be composed."""
        from runner.cli.errors import user_message
        from runner.problem import Refused

        composed, lines = [], []
        for number, job in enumerate(jobs):
            try:
                composed.append(self._compose(job, number))
            except Exception as error:
                message = user_message(error)
                if message is None:
                    raise
                lines.append(message)
        if lines:
            raise Refused(list(dict.fromkeys(lines)))
        return composed

    def _compose(self, overrides: Sequence[str], number: int) -> DictConfig:
        assert self.hydra_context is not None
        assert self.config is not None
        cfg = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(cfg):
            cfg.hydra.job.id = cfg.hydra.job.num = number
        return cfg

    @staticmethod
    def _check(
        composed: Sequence[DictConfig], jobs: Sequence[Sequence[str]], names: Sequence[str], folder: Path
    ) -> list[str]:
        from runner.preflight import Job, check

        return check(
            [
                Job.of(cfg, name=name, folder=folder / name, overrides=overrides)
                for cfg, name, overrides in zip(composed, names, jobs, strict=True)
            ],
            sweep_folder=folder,
        )
