"""Hydra's grid sweep with every job composed, named, checked and frozen before the first one starts.

Hydra demands that sweepers live in this namespace. It works over any launcher.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import filter_overrides
from omegaconf import DictConfig, OmegaConf, open_dict

if TYPE_CHECKING:
    from runner.sweep.conduct import Outcome, Planned
    from runner.sweep.ledger import Entry

SEED = re.compile(r"seed=(\d+)")


class RunnerSweeper(BasicSweeper):
    """Sweeps seeds, models and anything else into ``<model>__<seed>`` folders.

    ``check_only``: stop before anything is written.
    """

    def __init__(
        self,
        max_batch_size: int | None,
        params: dict[str, str] | None = None,
        retry_failed: bool = False,
        report: bool = True,
    ) -> None:
        super().__init__(max_batch_size, params)
        self.retry_failed = retry_failed
        self.report = report
        self.check_only = False

    def sweep(self, arguments: list[str]) -> Outcome:
        """Run all jobs that have not completed. Raises ``Refused`` before anything is written when any is wrong."""
        from runner.sweep.jobs import job_names

        assert self.config is not None
        jobs = self._product(arguments)
        cfgs, choices = self._composed(jobs)
        models = [options.get("model", "model") for options in choices]
        names = job_names([filter_overrides(job) for job in jobs], models, [cfg.seed for cfg in cfgs])
        entries = [
            entry_of(name, cfg, options, job)
            for name, cfg, options, job in zip(names, cfgs, choices, jobs, strict=True)
        ]
        return self.conduct(Path(self.config.hydra.sweep.dir), entries, cfgs)

    def conduct(self, folder: Path, entries: Sequence[Entry], cfgs: Sequence[DictConfig]) -> Outcome:
        """Check the jobs, freeze them in ``folder`` and start those that have work to do."""
        from runner.lock import held
        from runner.preflight.folder import make_folder
        from runner.results import provenance
        from runner.sweep import conduct, ledger

        jobs = conduct.planned(entries, folder, retry_failed=self.retry_failed)
        todo = [job for job in jobs if job.action != "skip"]
        configs = [self._whole(folder, job.entry, number) for number, job in enumerate(todo)]
        told = getattr(self.launcher, "problems", None)
        conduct.refuse_problems(jobs, cfgs, folder, launcher=told(configs) if told is not None and configs else [])
        if self.check_only:
            return conduct.Outcome.of(folder, jobs)
        make_folder(folder, "hydra.sweep.dir")
        with held(folder):
            whole = ledger.merged(ledger.read(folder), entries)
            ledger.write(folder, whole, argv=sys.argv, code=provenance.code(folder))
            if not (folder / "multirun.yaml").is_file():
                OmegaConf.save(self.config, folder / "multirun.yaml")
            try:
                if todo:
                    self._launch(folder, todo, configs)
            finally:
                self._write_report(folder, draw=True)
        return conduct.Outcome.of(folder, jobs)

    def _launch(self, folder: Path, jobs: Sequence[Planned], configs: Sequence[DictConfig]) -> None:
        """By frozen configurations where the launcher takes them; by name of the frozen job elsewhere."""
        from runner.cli.argv import quoted

        assert self.launcher is not None
        launch_frozen = getattr(self.launcher, "launch_frozen", None)
        if launch_frozen is not None:
            resume = [job.action == "resume" for job in jobs]
            launch_frozen(configs, resume=resume, on_end=lambda _: self._write_report(folder, draw=False))
            return
        where = f"hydra.sweep.dir={quoted(folder)}"  # resolved once: each job would read the clock anew
        placed = [[*job.entry.overrides, where, f"hydra.sweep.subdir='{job.entry.name}'"] for job in jobs]
        self.launcher.launch(placed, initial_job_idx=0)

    def _write_report(self, folder: Path, *, draw: bool) -> None:
        from runner.sweep import conduct

        if self.report:
            conduct.write_report(folder, draw=draw)

    def _whole(self, folder: Path, entry: Entry, number: int) -> DictConfig:
        """A frozen job's configuration with Hydra's part of this sweep."""
        assert self.config is not None
        cfg = entry.composed()
        hydra = self.config.hydra.copy()
        with open_dict(hydra):
            hydra.sweep.dir, hydra.sweep.subdir = str(folder), entry.name
            hydra.job.id = hydra.job.num = number
            hydra.overrides.task = list(entry.overrides)
            hydra.runtime.choices = {**hydra.runtime.choices, **entry.choices}
        with open_dict(cfg):
            cfg.hydra = hydra
        return cfg

    def _product(self, arguments: list[str]) -> list[list[str]]:
        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        (jobs,) = self.split_arguments(overrides, max_batch_size=None)
        return jobs

    def _composed(self, jobs: Sequence[Sequence[str]]) -> tuple[list[DictConfig], list[dict[str, str]]]:
        """Every job's configuration without Hydra's part, and its choices; jobs that differ in the seed compose once.

        Raises ``Refused`` with a line for each way in which one cannot be composed.
        """
        from runner.cli.errors import user_message
        from runner.problem import Refused

        first: dict[tuple[str, ...], DictConfig] = {}
        cfgs, choices, lines = [], [], []
        for job in jobs:
            rest = tuple(override for override in job if not SEED.fullmatch(override))
            try:
                whole = first.get(rest)
                if whole is None:
                    whole = first[rest] = self._compose(job)
            except Exception as error:
                message = user_message(error)
                if message is None:
                    raise
                lines.append(message)
                continue
            cfgs.append(_without_hydra(whole, [int(found[1]) for text in job if (found := SEED.fullmatch(text))]))
            given = whole.hydra.runtime.choices.items()
            choices.append({str(group): str(option) for group, option in given if option is not None})
        if lines:
            raise Refused(list(dict.fromkeys(lines)))
        return cfgs, choices

    def _compose(self, overrides: Sequence[str]) -> DictConfig:
        assert self.hydra_context is not None
        assert self.config is not None
        return self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))


def _without_hydra(whole: DictConfig, seeds: Sequence[int]) -> DictConfig:
    cfg = OmegaConf.masked_copy(whole, [str(key) for key in whole if key != "hydra"]).copy()
    for seed in seeds:
        cfg.seed = seed
    return cfg


def entry_of(name: str, cfg: DictConfig, choices: Mapping[str, str], overrides: Sequence[str]) -> Entry:
    """A job as the ledger keeps it. What cannot be resolved has no digest: its check says why."""
    from runner.config.build import plain
    from runner.results.manifest import config_digest
    from runner.sweep.ledger import Entry

    try:
        config = plain(cfg)
    except Exception:  # an interpolation that leads nowhere: reported by the check
        config = {}
    text = OmegaConf.to_yaml(cfg)
    digest = config_digest(config) if config else ""
    own = [text for text in overrides if not text.lstrip("+~").startswith(("hydra.", "hydra/"))]
    return Entry(name, cfg.seed, dict(choices), own, config, digest, text if "${" in text else "")
