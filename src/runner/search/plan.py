"""``optuna.json``: what is searched for and where, frozen before the first trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from runner.problem import Refused
from runner.results.manifest import read_json, write_json
from runner.search.space import Dimension, Params, Space

NAME = "optuna.json"
FORMAT = 1


@dataclass(frozen=True)
class Base:
    """A configuration with its options chosen and all that trials share set, before any value is searched."""

    options: Sequence[str]  # of the groups that are searched: ["model=mlp"]
    choices: Mapping[str, str]  # of all groups: {"model": "mlp"}
    yaml: str

    def with_values(self, overrides: Sequence[str]) -> DictConfig:
        """Composed on: what Hydra makes of the options and the overrides. Raises as it does."""
        from hydra._internal.config_loader_impl import ConfigLoaderImpl
        from hydra.core.override_parser.overrides_parser import OverridesParser
        from omegaconf import open_dict

        from runner.config.schema import Config

        cfg = OmegaConf.structured(Config)
        with open_dict(cfg):  # conf/ may add to it
            cfg.merge_with(OmegaConf.create(self.yaml))
        OmegaConf.set_struct(cfg, True)
        ConfigLoaderImpl._apply_overrides_to_config(OverridesParser.create().parse_overrides(list(overrides)), cfg)
        assert isinstance(cfg, DictConfig)
        return cfg


@dataclass(frozen=True)
class Plan:
    """A search. Whatever ``conf/`` becomes meanwhile, its trials are made of what stands here."""

    arguments: Sequence[str]  # of the command line
    directions: Mapping[str, str]  # of the metrics that are searched by: {"valid/accuracy": "max"}
    study: str
    storage: str | None  # None: a file in the folder
    space: Space
    bases: Sequence[Base]

    def base(self, params: Params) -> Base:
        options = self.space.options_of(params)
        return next(base for base in self.bases if tuple(base.options) == options)

    def configs(self, params: Params) -> list[DictConfig]:
        """One for each seed of a trial, in the order of ``Space.overrides``."""
        base, values = self.base(params), self.space.values_of(params)
        return [base.with_values([*values, f"seed={seed}"]) for seed in self.space.seeds] or [base.with_values(values)]

    @property
    def metrics(self) -> list[str]:
        return list(self.directions)


def read(folder: Path) -> Plan | None:
    """The search in ``folder``; None when there is none. Raises ``ValueError`` for one of another version."""
    content = read_json(folder / NAME)
    if not content:
        return None
    if content.pop("format", None) != FORMAT:
        raise ValueError(f"{folder / NAME} is not of this version (format {FORMAT})")
    space = content.pop("space")
    dimensions = [Dimension(**one) for one in space.pop("dimensions")]
    bases = [Base(**base) for base in content.pop("bases")]
    return Plan(space=Space(dimensions, **space), bases=bases, **content)


def write(folder: Path, plan: Plan) -> None:
    write_json(folder / NAME, {"format": FORMAT, **asdict(plan)})


def directions_of(asked: Sequence[str] | None, bests: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """``{"valid/accuracy": "max"}``: the metrics that are asked for, or the first of ``trainer.best``.

    ``bests`` are those of all configurations. Raises ``Refused`` for a metric that not all of them have.
    """
    names = [name.removeprefix("valid/") for name in asked or list(bests[0])[:1]]
    lines = []
    for name in names:
        if name.startswith("test/"):
            lines.append(f"hydra.sweeper.metric={name}: the test part chooses nothing; take one of trainer.best")
        elif any(name not in best for best in bests):
            remedy = f"trainer.best.{name}=max, or min, records its best value"
            lines.append(f"hydra.sweeper.metric={name}: is not in trainer.best of every trial; {remedy}")
        elif len({best[name] for best in bests}) > 1:
            lines.append(f"hydra.sweeper.metric={name}: is best at its most in one trial and at its least in another")
    if not names:
        lines.append("hydra.sweeper.metric: there is nothing to search by; trainer.best.loss=min names a metric")
    if lines:
        raise Refused(lines)
    return {f"valid/{name}": str(bests[0][name]) for name in names}
