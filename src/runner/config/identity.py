"""Which settings the numbers of a run depend on, and which may change while it is under way. Free of torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig

from runner.config.build import flat

BUDGET = ("trainer.epochs", "trainer.steps")
MAY_CHANGE = (
    *BUDGET,
    "trainer.save_every_epochs",
    "trainer.save_every_steps",
    "trainer.save_every_s",
    "trainer.keep_best",
    "trainer.device",
    "trainer.resident",
    "trainer.workers",
    "trainer.threads",
    "trainer.nproc",
    "dataset.root",
    "dataset.download",
    "init_from",
    "init_prefix",
    "init_pattern",
    "trajectory",  # as a whole, where there was none and is none: what is in it is settled
)
"""Keys that may differ when a run goes on, besides those of ``logger``: its step is what it would have been."""


def may_change(key: str) -> bool:
    plain = re.sub(r"^dataset\.sets\.[^.]+\.", "dataset.", key)  # of several data sets, as of one
    return plain in MAY_CHANGE or key.startswith("logger.") or key == "logger"


def identity(cfg: DictConfig | Mapping[str, Any]) -> dict[str, Any]:
    """The leaves by dotted key that a run may not change while it is under way."""
    return {key: value for key, value in flat(cfg).items() if not may_change(key)}


def changes(theirs: DictConfig | Mapping[str, Any], ours: DictConfig | Mapping[str, Any]) -> dict[str, list[Any]]:
    """``{key: [theirs, ours]}`` for each leaf in which two configurations differ; an absent one is None."""
    left, right = flat(theirs), flat(ours)
    absent = object()
    return {
        key: [left.get(key), right.get(key)]
        for key in dict.fromkeys([*left, *right])
        if left.get(key, absent) != right.get(key, absent)
    }
