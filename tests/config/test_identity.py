"""What the numbers of a run depend on."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from runner.config.identity import BUDGET, MAY_CHANGE, changes, identity, may_change

CFG = OmegaConf.create(
    {
        "seed": 0,
        "width": "${seed}",
        "init_from": None,
        "model": {"_target_": "a.B", "hidden": [4]},
        "logger": {"csv": {"_target_": "c.D"}},
        "dataset": {"root": "/data", "download": True, "valid_fraction": 0.1},
        "trainer": {"epochs": 3, "steps": None, "workers": 2, "batch_size": 8, "best": {}},
    }
)


def test_it_is_all_that_changes_the_numbers() -> None:
    assert identity(CFG) == {
        "seed": 0,
        "width": 0,
        "model._target_": "a.B",
        "model.hidden": [4],
        "dataset.valid_fraction": 0.1,
        "trainer.batch_size": 8,
        "trainer.best": {},
    }


@pytest.mark.parametrize("key", [*MAY_CHANGE, "logger", "logger.csv", "logger.tensorboard.histograms"])
def test_what_may_change_while_a_run_is_under_way(key: str) -> None:
    assert may_change(key)


@pytest.mark.parametrize(
    "key", ["seed", "trainer.batch_size", "trainer.precision", "trainer.epochs.more", "loggers", "dataset.rooted"]
)
def test_what_may_not(key: str) -> None:
    assert not may_change(key)


def test_every_key_that_may_change_is_a_setting() -> None:
    from runner.config.schema import Config, TrainerConfig

    known = {*Config.__dataclass_fields__, *(f"trainer.{name}" for name in TrainerConfig.__dataclass_fields__)}
    assert {key for key in MAY_CHANGE if not key.startswith("dataset.")} <= known
    assert set(BUDGET) <= set(MAY_CHANGE)


def test_changes_are_told_by_leaf_and_absent_is_none() -> None:
    other = CFG.copy()
    other.trainer.epochs = 5
    other.model = {"_target_": "a.C", "depth": 2}
    assert changes(CFG, CFG) == {}
    assert changes(CFG, other) == {
        "model._target_": ["a.B", "a.C"],
        "model.hidden": [[4], None],
        "trainer.epochs": [3, 5],
        "model.depth": [None, 2],
    }


def test_a_key_without_a_value_is_not_an_absent_one() -> None:
    assert changes({"a": None, "b": 1}, {"b": 1}) == {"a": [None, None]}
    assert changes({"a": 1}, {"a": 1.5}) == {"a": [1, 1.5]}
