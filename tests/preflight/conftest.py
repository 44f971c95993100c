"""One configuration, composed once, with changes to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli.terminal import SMALL
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf, open_dict

from runner.config.conf_dir import conf_dir
from runner.config.schema import register
from runner.preflight import Job, check

Changed = Callable[..., DictConfig]
Found = Callable[..., list[str]]


@pytest.fixture(scope="module")
def composed() -> Iterator[DictConfig]:
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        yield compose("config", overrides=SMALL)


@pytest.fixture
def changed(composed: DictConfig) -> Changed:
    """``changed({"optimizer.lr": 1})``: a copy of the small configuration with other values.

    ``...`` takes a key out.
    """

    def change(values: dict[str, Any]) -> DictConfig:
        cfg = composed.copy()
        with open_dict(cfg):
            for key, value in values.items():
                if value is ...:
                    parent, _, last = key.rpartition(".")
                    del OmegaConf.select(cfg, parent)[last]
                else:
                    OmegaConf.update(cfg, key, value, merge=False, force_add=True)
        return cfg

    return change


@pytest.fixture
def found(changed: Changed, tmp_path: Path) -> Found:
    """What preflight says of the small configuration with other values."""

    def find(values: dict[str, Any]) -> list[str]:
        job = Job("job", changed(values), tmp_path / "run", choices={"model": "mlp", "optimizer": "adam"})
        return check([job]).lines()

    return find
