"""Whether each ``_target_`` exists and takes the arguments that the configuration gives it."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig

from runner.config.build import FIND, OPTIMIZER_SETTINGS, RATE, plain, signature
from runner.preflight.settings import closest
from runner.problem import Problem

OF_DATA = {"in_channels", "out_channels", "image_size", "num_classes", "output"}
OF_DATA |= {"source_vocabulary_size", "target_vocabulary_size", "source_length", "target_length"}
FACTS = {
    "model": OF_DATA,
    "loss": OF_DATA,
    "metrics": {"num_classes"},
    "task": {"model", "loss"},
    "scheduler": {"optimizer", "plan"},
    "momentum": {"plan"},
}
"""What the composition root passes to the targets of a group by name."""

ONE = ("task", "dataset", "augmentation", "model", "loss", "scheduler")
NAMED = ("metrics", "stopping", "logger")  # several descriptions, each under its name


def target_problems(cfg: DictConfig) -> list[Problem]:
    """Wrong targets, misspelt and missing arguments, over all groups."""
    found: list[Problem] = []
    for key, node, facts, ignored in _nodes(cfg):
        if not isinstance(node, dict) or "_target_" not in node:
            found.append(
                Problem(key, node, "has no _target_", f"choose one with {key.split('.', maxsplit=1)[0]}=<option>")
            )
            continue
        problem = _unfound(key, node["_target_"])
        found += [problem] if problem else _misfits(key, node, facts, ignored)
    return found


def _nodes(cfg: DictConfig) -> Iterator[tuple[str, Any, set[str], tuple[str, ...]]]:
    for group in ONE:
        node = cfg[group]
        node = plain(node) if isinstance(node, DictConfig) else node
        yield group, node, FACTS.get(group, set()), ()
        if group == "dataset" and isinstance(node, dict):  # of several data sets, each
            inner = node.get("sets")
            for name, described in inner.items() if isinstance(inner, dict) else ():
                if isinstance(described, dict) and "_target_" in described:
                    yield f"dataset.sets.{name}", described, set(), ()
    for group in NAMED:
        for name, node in (cfg[group] or {}).items():
            if node is not None:
                node = plain(node) if isinstance(node, DictConfig) else node
                yield f"{group}.{name}", node, FACTS.get(group, set()), ()
    for group in ("trajectory", "momentum"):
        node = cfg.get(group)
        if node is not None:
            yield group, plain(node) if isinstance(node, DictConfig) else node, FACTS.get(group, set()), ()
    optimizer = plain(cfg.optimizer) if isinstance(cfg.optimizer, DictConfig) else cfg.optimizer
    if isinstance(optimizer, dict) and "_target_" not in optimizer and optimizer:
        for name, node in optimizer.items():
            yield f"optimizer.{name}", node, {"params"}, OPTIMIZER_SETTINGS
    else:
        yield "optimizer", optimizer, {"params"}, OPTIMIZER_SETTINGS


def _unfound(key: str, target: object) -> Problem | None:
    """Why a target cannot be imported, told by the part of its path that fails."""
    if not isinstance(target, str):
        return Problem(f"{key}._target_", target, "is not a dotted path", "write <package>.<module>.<name>")
    module, _, name = target.rpartition(".")
    if not module:
        return Problem(f"{key}._target_", target, "is not a dotted path", "write <package>.<module>.<name>")
    try:
        holder: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        outer, _, inner = module.rpartition(".")
        try:  # a class inside a class: package.module.Outer.Inner
            holder = getattr(importlib.import_module(outer), inner) if outer else None
        except (ImportError, AttributeError):
            holder = None
        if holder is None:
            return Problem(
                f"{key}._target_",
                target,
                f"cannot be imported: {error}",
                "correct the path or install the package",
            )
    except Exception as error:
        text = f"cannot be imported: {module} raises {type(error).__name__}: {error}"
        return Problem(f"{key}._target_", target, text, "mend the module")
    if hasattr(holder, name):
        if callable(getattr(holder, name)):
            return None
        return Problem(f"{key}._target_", target, "cannot be called", "name a class or a function")
    names = [other for other in dir(holder) if not other.startswith("_")]
    return Problem(f"{key}._target_", target, f"{module} has no {name}", closest(name, names))


def _misfits(key: str, node: dict[str, Any], facts: set[str], ignored: tuple[str, ...]) -> Iterator[Problem]:
    if "decay_norms_and_biases" in ignored and not isinstance(node.get("decay_norms_and_biases", True), bool):
        value = node["decay_norms_and_biases"]
        yield Problem(f"{key}.decay_norms_and_biases", value, "must be true or false", "set it to true or false")
    parameters = signature(node["_target_"])
    if not parameters:
        return
    kinds = {parameter.kind for parameter in parameters.values()}
    given = {name for name in node if not (name.startswith("_") and name.endswith("_")) and name not in ignored}
    if inspect.Parameter.VAR_KEYWORD not in kinds:
        for name in sorted(given - set(parameters)):
            remedy = closest(name, parameters) or f"it takes {', '.join(parameters)}"
            yield Problem(f"{key}.{name}", node[name], f"{node['_target_']} takes no such argument", remedy)
    for name in sorted(given & set(parameters)):
        wanted = _wanted(parameters[name], node[name])
        if wanted:
            asks = closest(str(node[name]), [FIND] if f"{key}.{name}" == RATE else [])
            yield Problem(f"{key}.{name}", node[name], f"must be {wanted}", asks or f"set {key}.{name}=<value>")
    if "_args_" in node:
        return
    for name, parameter in parameters.items():
        variable = parameter.kind in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        if parameter.default is inspect.Parameter.empty and not variable and name not in given | facts:
            yield Problem(f"{key}.{name}", None, f"{node['_target_']} needs it", f"set {key}.{name}=<value>")


def _wanted(parameter: inspect.Parameter, value: object) -> str:
    """What a text, or null, should have been instead, judged by the parameter's default and, where that is not enough,
    by its annotation; nothing where it may be right.
    """
    annotation = str(parameter.annotation)
    kinds = set(re.findall(r"\w+", annotation)) - {"class"}
    number = isinstance(parameter.default, (int, float)) or (bool(kinds) and kinds <= {"int", "float", "None"})
    if value is None and "float" in kinds and number and parameter.default is not None:
        return "" if kinds & {"None", "Optional"} else "a number"
    if not isinstance(value, str) or "str" in annotation:
        return ""
    if isinstance(parameter.default, bool):
        return "true or false"
    if number:
        return "a number"
    return "a list" if isinstance(parameter.default, (list, tuple)) else ""
