"""Hydra's grid sweep with every job composed, named, checked and frozen before the first one starts.

Hydra demands that sweepers live in this namespace. It works over any launcher.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.utils import filter_overrides
from omegaconf import DictConfig

from hydra_plugins.runner_plugins._checked import CheckedSweeper, entry_of

if TYPE_CHECKING:
    from runner.problem import Found
    from runner.sweep.conduct import Outcome
    from runner.sweep.ledger import Entry


class RunnerSweeper(CheckedSweeper):
    """Sweeps seeds, models and anything else into ``<model>__<seed>`` folders."""

    def __init__(
        self,
        max_batch_size: int | None,
        params: dict[str, str] | None = None,
        retry_failed: bool = False,
        report: bool = True,
    ) -> None:
        super().__init__(params, report=report)
        self.max_batch_size = max_batch_size
        self.retry_failed = retry_failed

    def sweep(self, arguments: list[str]) -> Outcome:
        """Run all jobs that have not completed. Raises ``Refused`` before anything is written when any is wrong."""
        from runner.sweep.jobs import job_names

        assert self.config is not None
        (jobs,) = BasicSweeper.split_arguments(self.parsed(arguments), max_batch_size=None)
        made, uncomposed = self._tried(jobs)
        models = [options.get("model", "model") for _, _, options in made]
        cfgs = [cfg for _, cfg, _ in made]
        names = job_names([filter_overrides(job) for job, _, _ in made], models, [cfg.seed for cfg in cfgs])
        entries = [entry_of(name, cfg, options, job) for name, (job, cfg, options) in zip(names, made, strict=True)]
        return self.conduct(Path(self.config.hydra.sweep.dir), entries, cfgs, uncomposed)

    def conduct(
        self,
        folder: Path,
        entries: Sequence[Entry],
        cfgs: Sequence[DictConfig],
        uncomposed: Sequence[Found] = (),
    ) -> Outcome:
        """Check the jobs, freeze them in ``folder`` and start those that have work to do.

        ``uncomposed`` has what is wrong with jobs that are not among them.
        """
        from runner import numbering
        from runner.lock import held
        from runner.sweep import conduct, ledger

        jobs = conduct.planned(entries, folder, retry_failed=self.retry_failed)
        configs = self._check(folder, jobs, cfgs, uncomposed)
        if self.check_only:
            return conduct.Outcome.of(numbering.foreseen(folder), jobs)
        made = self._make(folder)
        if made != folder:  # it has its number
            folder, jobs = made, conduct.planned(entries, made, retry_failed=self.retry_failed)
            for config in configs:
                config.hydra.sweep.dir = str(folder)
        todo = [job for job in jobs if job.action != "skip"]
        with held(folder):
            self._freeze(folder, ledger.merged(ledger.read(folder), entries))
            try:
                if todo:
                    self._launch(folder, todo, configs)
            finally:
                self._write_report(folder, draw=True)
        return conduct.Outcome.of(folder, jobs)

    def resume(self, folder: Path) -> Outcome:
        """Go on with the sweep in ``folder`` as its ledger has it."""
        from runner.sweep import ledger

        entries = ledger.read(folder)
        return self.conduct(folder, entries, [entry.composed() for entry in entries])
