"""What our sweepers share: jobs composed, checked and frozen before they start, over any launcher.

Hydra does not look for plugins in a module whose name begins with an underscore, nor load it a second time.
"""

from __future__ import annotations

import gc
import re
import sys
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

if TYPE_CHECKING:
    from runner.problem import Found
    from runner.sweep.conduct import Outcome, Planned
    from runner.sweep.ledger import Entry

SEED = re.compile(r"seed=(\d+)")
Made = tuple[Sequence[str], DictConfig, dict[str, str]]
"""A job's overrides, its configuration without Hydra's part, and the options of its groups."""


class CheckedSweeper(Sweeper):
    """A sweeper whose jobs stand in the ledger of its folder before they start.

    ``check_only``: stop before anything is written. ``report``: write one after each job, and at the end.
    """

    def __init__(self, params: dict[str, str] | None = None, *, report: bool = True) -> None:
        super().__init__()
        self.params = dict(params or {})
        self.report = report
        self.check_only = False
        self.hydra_context: HydraContext | None = None
        self.config: DictConfig | None = None
        self.launcher: Launcher | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context = hydra_context
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    @abstractmethod
    def sweep(self, arguments: list[str]) -> Outcome:
        """Start the sweep that ``arguments`` ask for, or go on with it. Raises ``Refused`` with nothing written."""

    @abstractmethod
    def resume(self, folder: Path) -> Outcome:
        """Go on with the sweep in ``folder``."""

    def parsed(self, arguments: Sequence[str]) -> list[Override]:
        """The sweeper's ``params``, and after them the arguments."""
        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        return parser.parse_overrides(self.asked(arguments))

    def asked(self, arguments: Sequence[str]) -> list[str]:
        return [*(f"{key}={value}" for key, value in self.params.items()), *arguments]

    def _check(
        self, folder: Path, jobs: Sequence[Planned], cfgs: Sequence[DictConfig], uncomposed: Sequence[Found] = ()
    ) -> list[DictConfig]:
        """The whole configurations of those that have work to do, where the launcher takes them.

        Raises ``Refused`` with all that is wrong with these jobs, and with the launcher.
        """
        from runner.sweep import conduct

        told = getattr(self.launcher, "problems", None)
        configs = self._configs(folder, jobs)
        of_launcher = told(configs) if told and configs else []
        elsewhere = getattr(self.launcher, "elsewhere", False)  # whether jobs run on other machines
        conduct.refuse_problems(jobs, cfgs, folder, launcher=of_launcher, uncomposed=uncomposed, elsewhere=elsewhere)
        return configs

    def _configs(self, folder: Path, jobs: Sequence[Planned]) -> list[DictConfig]:
        """The whole configurations of those that have work to do, where the launcher takes them; none elsewhere."""
        if not hasattr(self.launcher, "problems"):
            return []
        todo = [job for job in jobs if job.action != "skip"]
        return [self._whole(folder, job.entry, number) for number, job in enumerate(todo)]

    def _make(self, folder: Path) -> Path:
        """The folder of the sweep, made, under whatever number; from here on it is what the configuration says."""
        from runner.preflight.folder import make_folder

        assert self.config is not None
        made = make_folder(folder, "hydra.sweep.dir")
        self.config.hydra.sweep.dir = str(made)
        return made

    def _freeze(self, folder: Path, entries: Sequence[Entry]) -> None:
        """Write down the jobs of the sweep, and once its settings."""
        from runner.results import provenance
        from runner.sweep import ledger

        ledger.write(folder, entries, argv=sys.argv, code=provenance.code(folder))
        if not (folder / "multirun.yaml").is_file():
            OmegaConf.save(self.config, folder / "multirun.yaml")

    def _launch(self, folder: Path, jobs: Sequence[Planned], configs: Sequence[DictConfig]) -> None:
        """By frozen configurations where the launcher takes them; by name of the frozen job elsewhere."""
        from runner.cli.argv import quoted

        gc.enable()
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

    def _composed(self, jobs: Sequence[Sequence[str]]) -> tuple[list[DictConfig], list[dict[str, str]]]:
        """Every job's configuration without Hydra's part, and its choices.

        Raises ``Refused`` with a line for each way in which one cannot be composed.
        """
        from runner.problem import Refused

        made, uncomposed = self._tried(jobs)
        if uncomposed:
            raise Refused([found.problem.line() for found in uncomposed])
        return [cfg for _, cfg, _ in made], [choices for _, _, choices in made]

    def _tried(self, jobs: Sequence[Sequence[str]]) -> tuple[list[Made], list[Found]]:
        """The jobs that can be composed, and why the others cannot; jobs that differ in the seed compose once."""
        from runner.cli.errors import user_message
        from runner.problem import Found, Problem

        first: dict[tuple[str, ...], DictConfig | str] = {}
        made: list[Made] = []
        unmade: dict[str, list[str]] = {}
        labels = _swept(jobs)
        for job, label in zip(jobs, labels, strict=True):
            rest = tuple(override for override in job if not SEED.fullmatch(override))
            whole = first.get(rest)
            if whole is None:
                try:
                    whole = self._compose(job)
                except Exception as error:
                    message = user_message(error)
                    if message is None:
                        raise
                    whole = message
                first[rest] = whole
            if isinstance(whole, str):
                unmade.setdefault(whole, []).append(label)
                continue
            cfg = _without_hydra(whole, [int(found[1]) for text in job if (found := SEED.fullmatch(text))])
            given = whole.hydra.runtime.choices.items()
            made.append((job, cfg, {str(group): str(option) for group, option in given if option is not None}))
        return made, [Found(Problem.of_line(line), names) for line, names in unmade.items()]

    def _compose(self, overrides: Sequence[str]) -> DictConfig:
        assert self.hydra_context is not None
        assert self.config is not None
        return self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))


def _swept(jobs: Sequence[Sequence[str]]) -> list[str]:
    """What tells each job from the others: ``model=vgg17 seed=0``."""
    common = set.intersection(*(set(job) for job in jobs)) if len(jobs) > 1 else set()
    return [" ".join(override for override in job if override not in common) for job in jobs]


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
