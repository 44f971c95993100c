"""Whether a run can start from the weights it was given. Free of torch until it has read the settings."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from runner.problem import Problem
from runner.weights_file import UnusableWeights, WeightsFile, file_of, read

if TYPE_CHECKING:
    from torch import nn


def init_settings_problems(cfg: DictConfig) -> Iterator[Problem]:
    """A file that is not there, and settings about a file where none is given."""
    if OmegaConf.is_missing(cfg, "init_from"):
        return
    if cfg.init_from is not None:
        try:
            file_of(cfg.init_from)
        except UnusableWeights as error:
            yield error.problem
        return
    for key in ("init_prefix", "init_pattern"):
        if not OmegaConf.is_missing(cfg, key) and cfg[key] is not None:
            yield Problem(key, cfg[key], "is about a file of weights, but none is given", "set init_from=<file>")


def init_problems(cfg: DictConfig, task: nn.Module) -> list[Problem]:
    """A file that cannot be read, or whose weights do not fit ``task``, of which only names and shapes are used."""
    from runner.initial import fit

    if cfg.init_from is None:
        return []
    try:
        file = file_of(cfg.init_from)
        facts = file.stat()
        fit(task, _shapes(file, facts.st_mtime_ns, facts.st_size), prefix=cfg.init_prefix, pattern=cfg.init_pattern)
    except UnusableWeights as error:
        return [error.problem]
    return []


def published_problems(task: nn.Module, *, here: bool) -> list[Problem]:
    """Networks that ask for published weights which cannot be had; unless the run is ``here``, which do not fit."""
    from runner.models.pretrained import Pretrained

    asked = [(getattr(network, "pretrained", None), network) for network in task.children()]
    found = [
        pretrained.problem(network, here=here) for pretrained, network in asked if isinstance(pretrained, Pretrained)
    ]
    return [problem for problem in found if problem is not None]


@functools.lru_cache(maxsize=8)
def _shapes(file: Path, _modified_ns: int, _size: int) -> WeightsFile:
    """The file without its content, so that the jobs of a sweep read it once and nothing large is kept."""
    read_file = read(file)
    return WeightsFile(file, {name: tensor.to("meta") for name, tensor in read_file.tensors.items()}, read_file.step)
