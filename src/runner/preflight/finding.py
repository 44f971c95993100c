"""Whether a learning rate can be looked for. Free of torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from omegaconf import DictConfig

from runner.config.build import FIND, RATE, finds_rate
from runner.preflight.ranks import world_size_of
from runner.problem import Problem

REMEDY = f"set {RATE}=<a number>"


def find_problems(cfg: DictConfig) -> Iterator[Problem]:
    """What can be said by reading."""
    together = world_size_of(cfg.trainer.nproc)
    if finds_rate(cfg) and together > 1:
        text = f"is looked for by one process, got {together}"
        yield Problem(RATE, FIND, text, f"{REMEDY}; python -m runner find-lr suggests one")


def network_problems(cfg: DictConfig, networks: Sequence[str]) -> Iterator[Problem]:
    """What the networks of the task say."""
    if finds_rate(cfg) and len(networks) != 1:
        yield Problem(RATE, FIND, f"is looked for with one loss, but each of {', '.join(networks)} has its own", REMEDY)
