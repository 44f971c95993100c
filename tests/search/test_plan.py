"""A search as it is frozen: its trials are what Hydra would compose."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli.terminal import SMALL
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from runner.config.build import plain
from runner.config.conf_dir import conf_dir
from runner.config.schema import register
from runner.problem import Refused
from runner.results.manifest import config_digest
from runner.search import plan
from runner.search.plan import Base, Plan, directions_of
from runner.search.space import Dimension, Space

SPACE = Space(
    [Dimension("model", True, ("mlp", "lenet")), Dimension("optimizer.lr", low=1e-5, high=1.0)], [], ["0", "1"]
)


def composed(*overrides: str) -> DictConfig:
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose("config", overrides=list(overrides))


@pytest.fixture(scope="module")
def base() -> Base:
    return Base(["model=mlp"], {"model": "mlp"}, OmegaConf.to_yaml(composed(*SMALL, "dataset.seed=${seed}")))


@pytest.mark.slow
def test_a_trial_is_what_hydra_makes_of_its_command(base: Base) -> None:
    values = ["optimizer.lr=0.003", "trainer.epochs=2", "model.hidden=[8,4]", "+model.note=1", "seed=3"]
    mine, hydras = base.with_values(values), composed(*SMALL, "dataset.seed=${seed}", *values)
    assert config_digest(plain(mine)) == config_digest(plain(hydras))
    assert (mine.trainer.epochs, mine.dataset.seed) == (2.0, 3)


@pytest.mark.parametrize("override", ["optimizer.lrr=1", "trainer.epochs=many", "trainer.epoch=1"])
def test_what_hydra_refuses_is_refused(base: Base, override: str) -> None:
    with pytest.raises(Exception, match=r"Could not override|Error merging override"):
        base.with_values([override])


def test_each_seed_has_a_configuration(base: Base) -> None:
    made = Plan([], {"valid/loss": "min"}, "search", None, SPACE, [base])
    params = {"model": "mlp", "optimizer.lr": 0.25}
    assert [(cfg.seed, cfg.optimizer.lr) for cfg in made.configs(params)] == [(0, 0.25), (1, 0.25)]


def test_what_is_written_is_read(tmp_path: Path, base: Base) -> None:
    assert plan.read(tmp_path) is None
    made = Plan(["a=1,2"], {"valid/loss": "min"}, "search", None, SPACE, [base])
    plan.write(tmp_path, made)
    found = plan.read(tmp_path)
    assert found is not None
    assert found.base({"model": "mlp", "optimizer.lr": 1.0}) == base
    assert found.space.overrides({"model": "mlp", "optimizer.lr": 0.5}) == SPACE.overrides(
        {"model": "mlp", "optimizer.lr": 0.5}
    )
    (tmp_path / plan.NAME).write_text('{"format": 0}')
    with pytest.raises(ValueError, match="is not of this version"):
        plan.read(tmp_path)


class TestMetrics:
    def test_the_first_that_chooses_checkpoints_or_those_that_are_asked_for(self) -> None:
        best = {"accuracy": "max", "loss": "min"}
        assert directions_of(None, [best, best]) == {"valid/accuracy": "max"}
        assert directions_of(["valid/loss", "accuracy"], [best]) == {"valid/loss": "min", "valid/accuracy": "max"}

    @pytest.mark.parametrize(
        ("asked", "bests", "text"),
        [
            (["test/accuracy"], [{"accuracy": "max"}], "the test part chooses nothing"),
            (["f1"], [{"f1": "max"}, {"accuracy": "max"}], "is not in trainer.best of every trial"),
            (["f1"], [{"f1": "max"}, {"f1": "min"}], "at its most in one trial and at its least in another"),
            (None, [{}], "there is nothing to search by"),
        ],
    )
    def test_what_chooses_nothing(self, asked: list[str] | None, bests: list[dict[str, str]], text: str) -> None:
        with pytest.raises(Refused, match=text):
            directions_of(asked, bests)
