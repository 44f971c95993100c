"""What can be said of a configuration by reading it. Free of torch."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from runner.config.build import plain
from runner.config.schema import CHOICES, RENAMED, Config, DebugConfig, TrainerConfig
from runner.preflight.initial import init_settings_problems
from runner.problem import Problem

AT_LEAST_ONE = (
    "batch_size",
    "eval_batch_size",
    "micro_batches",
    "log_every_steps",
    "steps",
    "threads",
    "nproc",
    "keep_best",
)
POSITIVE = (
    "epochs",
    "evaluate_every_epochs",
    "evaluate_every_steps",
    "save_every_epochs",
    "save_every_steps",
    "save_every_s",
)
LIMITS = ("clip_norm", "clip_value")
MAX_THREADS = 1024


def closest(name: str, names: Iterable[str]) -> str:
    """ "did you mean …?", or nothing when no name is close."""
    found = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"did you mean {found[0]}?" if found else ""


def settings_problems(cfg: DictConfig, overrides: Sequence[str] = ()) -> list[Problem]:
    """Missing values, keys that nothing reads, values out of range. ``overrides`` are those of the command line."""
    found = [*_unresolved(cfg), *_unread(cfg), *_doubled(overrides), *init_settings_problems(cfg)]
    if not any(problem.key.startswith(("trainer", "debug")) and problem.value == "???" for problem in found):
        found += [*_trainer(cfg.trainer), *_debug(cfg.debug)]
    freeze = cfg.get("freeze")
    if freeze is not None and not isinstance(freeze, DictConfig):
        found.append(Problem("freeze", freeze, "must give epochs by pattern", "set 'freeze={features.*: 3}'"))
    return found


def _unresolved(cfg: DictConfig) -> Iterator[Problem]:
    for key in sorted(OmegaConf.missing_keys(cfg)):
        yield Problem(key, "???", "has no value", f"set {key}=<value>")
    for key, text in _interpolations(cfg, ""):
        if "${now:" in text or "${hydra:" in text:
            yield Problem(key, text, "changes from run to run, so the run could not be repeated", "give a plain value")


def _interpolations(node: Any, prefix: str) -> Iterator[tuple[str, str]]:
    keys: list[Any] = list(node.keys()) if isinstance(node, DictConfig) else list(range(len(node)))
    for key in keys:
        path = f"{prefix}.{key}" if prefix else str(key)
        if OmegaConf.is_missing(node, key):
            continue
        raw = node._get_node(key)
        value = raw._value() if raw is not None else None
        if isinstance(raw, (DictConfig, ListConfig)) and not isinstance(value, str):
            if value is not None:
                yield from _interpolations(raw, path)
        elif isinstance(value, str) and "${" in value:
            yield path, value


def _unread(cfg: DictConfig) -> Iterator[Problem]:
    """Keys added with ``+`` that nothing reads: the schema cannot refuse them."""
    for prefix, node, owner in (
        ("", cfg, Config),
        ("trainer.", cfg.trainer, TrainerConfig),
        ("debug.", cfg.debug, DebugConfig),
    ):
        known = [f"{prefix}{field.name}" for field in fields(owner)]
        for name in map(str, node):
            key = f"{prefix}{name}"
            if key not in known:
                yield Problem(key, node[name], "is read by nothing", closest(key, known) or f"remove +{key}")


def _trainer(trainer: DictConfig) -> Iterator[Problem]:
    for name, choices in CHOICES.items():
        if trainer[name] not in choices:
            meant = RENAMED.get(name, {}).get(trainer[name])
            remedy = f"set trainer.{name}={meant}" if meant else closest(str(trainer[name]), choices)
            yield Problem(f"trainer.{name}", trainer[name], f"must be one of {', '.join(choices)}", remedy)
    for name in AT_LEAST_ONE:
        if trainer[name] is not None and trainer[name] < 1:
            yield Problem(f"trainer.{name}", trainer[name], "must be at least 1", f"set trainer.{name}=<n>")
    for name in (*POSITIVE, *LIMITS):
        if trainer[name] is not None and not 0 < trainer[name] < math.inf:
            yield Problem(f"trainer.{name}", trainer[name], "must be positive", f"set trainer.{name}=<n>")
    if trainer.ema_decay is not None and not 0 < trainer.ema_decay < 1:
        yield Problem("trainer.ema_decay", trainer.ema_decay, "must lie between 0 and 1", "set it to 0.999, or null")
    if trainer.micro_batches > trainer.batch_size > 0:
        text = f"is more than trainer.batch_size={trainer.batch_size}"
        yield Problem("trainer.micro_batches", trainer.micro_batches, text, "a micro-batch has at least one sample")
    if trainer.threads is not None and trainer.threads > MAX_THREADS:
        yield Problem("trainer.threads", trainer.threads, f"must be at most {MAX_THREADS}", "set trainer.threads=null")
    if trainer.workers < 0:
        yield Problem("trainer.workers", trainer.workers, "must not be negative", "0 reads in the training process")
    if trainer.epochs is None and trainer.steps is None:
        yield Problem("trainer.epochs", None, "a budget is needed", "set trainer.epochs=<n> or trainer.steps=<n>")
    for metric, direction in plain(trainer.best).items():
        if direction not in ("min", "max"):
            yield Problem(f"trainer.best.{metric}", direction, "must be min or max", f"set trainer.best.{metric}=max")
    if trainer.keep_best > 1 and not trainer.best:
        text = "has nothing to choose by: trainer.best names no metric"
        yield Problem("trainer.keep_best", trainer.keep_best, text, "set +trainer.best.loss=min")


def _debug(debug: DictConfig) -> Iterator[Problem]:
    for name in ("samples", "steps"):
        if debug[name] is not None and debug[name] < 1:
            yield Problem(f"debug.{name}", debug[name], "must be at least 1", f"set debug.{name}=<n>")


def _doubled(overrides: Sequence[str]) -> Iterator[Problem]:
    given = {override.lstrip("+").split("=", 1)[0]: override.split("=", 1)[-1] for override in overrides}
    for prefix in ("", "evaluate_every_", "save_every_"):
        keys = [f"trainer.{prefix}epochs", f"trainer.{prefix}steps"]
        if all(given.get(key, "null") != "null" for key in keys):
            text = f"and {keys[1]}={given[keys[1]]} cannot both be given"
            yield Problem(keys[0], given[keys[0]], text, "leave one of them out")
