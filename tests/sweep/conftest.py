"""Jobs for a pool, composed as Hydra composes those of a sweep."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.singleton import Singleton
from omegaconf import DictConfig, OmegaConf, open_dict

from runner.config.conf_dir import conf_dir
from runner.config.schema import register
from runner.manner import Manner
from runner.sweep.process import Job

Makes = Callable[..., list[Job]]


@pytest.fixture(scope="session")
def composed() -> DictConfig:
    register()
    before = Singleton.get_state()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("config", ["model=mlp", "logger=[]"], return_hydra_config=True)
    Singleton.set_state(before)
    OmegaConf.set_readonly(cfg.hydra, False)
    return cfg


@pytest.fixture
def jobs(composed: DictConfig, tmp_path: Path) -> Makes:
    """Makes one job for each word: what of ``sweep.troubles`` it does; the seed is its number."""

    def made(*words: str, manner: Manner | None = None) -> list[Job]:
        found = []
        for number, word in enumerate(words):
            config = composed.copy()
            name = f"{word}__{number}"
            with open_dict(config):
                config.do, config.seed = word, number
                config.hydra.sweep.dir, config.hydra.sweep.subdir = str(tmp_path), name
                config.hydra.job.id = config.hydra.job.num = number
                config.hydra.job.env_set = {"POOL_TEST_SET": f"by job {number}"}
            found.append(Job(name, tmp_path / name, config, manner or Manner()))
        return found

    return made
