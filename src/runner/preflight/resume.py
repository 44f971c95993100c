"""Whether a run can go on in its folder. Free of torch until a checkpoint is looked at."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from runner.config import build
from runner.config.identity import BUDGET, changes, may_change
from runner.lock import holder
from runner.preflight.folder import load
from runner.problem import Problem
from runner.results.manifest import read_json


def resume_problems(folder: Path, cfg: DictConfig, *, elsewhere: bool = False) -> Iterator[Problem]:
    """What stands against going on with the run in ``folder`` under ``cfg``; ``elsewhere`` is that of ``check``."""
    saved = load(folder / ".hydra" / "config.yaml")
    if saved is None:
        yield Problem("resume", folder, "its .hydra/config.yaml cannot be read", "restore it, or start a new run")
        return
    if not os.access(folder, os.W_OK | os.X_OK):  # told as of any run's folder; its lock cannot be looked at
        return
    in_use = holder(folder)
    if in_use:
        yield Problem("resume", folder, in_use, "")
    differing = changes(saved, cfg)
    kept, damage = _checkpointed(folder)
    precision = None if elsewhere or kept is None else kept.get("identity", {}).get("trainer.precision")
    for key, (before, now) in differing.items():
        if not may_change(key) and not (key == "trainer.precision" and now == precision):
            remedy = f"start a new run; init_from={folder} takes over the weights"
            yield Problem(key, now, f"cannot change while a run is under way (it has {before})", remedy)
    if precision is not None and cfg.trainer.precision == "auto":
        yield from _precision_problems(cfg, precision)
    if damage:
        text = f"no checkpoint is sound: {'; '.join(damage)}"
        yield Problem("resume", folder, text, "restore one of the files from a copy, or start a new run")
    elif kept is None and read_json(folder / "status.json").get("state") == "completed":  # it would begin anew
        text = "is complete, but has no checkpoint to go on from"
        yield Problem("resume", folder, text, "restore checkpoints/last.pt from a copy, or start a new run")
    if differing.keys() & set(BUDGET):
        yield from _budget_problems(folder, cfg, 0 if kept is None else int(kept["step"]))


def data_problems(folder: Path, cfg: DictConfig) -> Iterator[Problem]:
    """Other data than the run in ``folder`` was trained on. Loads them, unless they are loaded already."""
    before = read_json(folder / "manifest.json").get("data", {}).get("sha256")
    now = build.load_splits(cfg).digest if before is not None else None
    if now != before:
        text = f"the data are not those that the run was trained on: their sha256 is {now}, it was {before}"
        yield Problem("dataset", None, text, "restore them, or start a new run")


def _precision_problems(cfg: DictConfig, before: str) -> Iterator[Problem]:
    """A device on which ``auto`` is not what the run was trained in."""
    from runner.numerics import resolve_device
    from runner.precision import resolve

    try:
        device = resolve_device(cfg.trainer.device)
    except ValueError:  # told by ``device_problems``
        return
    now = resolve("auto", device)
    if now != before:
        text = f"means {now} on {device}, but the run is trained in {before}"
        yield Problem("trainer.precision", "auto", text, f"set trainer.precision={before}")


def _checkpointed(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """The newest sound checkpoint, if there is one; and what is wrong when there are files, but none is sound."""
    files = [file for name in ("last.pt", "previous.pt") if (file := folder / "checkpoints" / name).is_file()]
    if not files:
        return None, []
    from runner.checkpoint import Unsound, read

    damage = []
    for file in files:
        try:
            return read(file), []
        except Unsound as error:
            damage.append(str(error))
    return None, damage


def _budget_problems(folder: Path, cfg: DictConfig, trained_steps: int) -> Iterator[Problem]:
    """A new budget that has been used already, or cannot be used any more."""
    trainer, status = cfg.trainer, read_json(folder / "status.json")
    key, given = ("trainer.epochs", trainer.epochs) if trainer.steps is None else ("trainer.steps", trainer.steps)
    if status.get("state") == "completed" and status.get("reason"):
        remedy = f"start a new run; init_from={folder} takes over the weights"
        yield Problem(key, given, f"is more, but a rule ended the training: {status['reason']}", remedy)
        return
    steps_per_epoch = read_json(folder / "manifest.json").get("steps_per_epoch")
    if not trained_steps or steps_per_epoch is None:
        return
    total = given if key == "trainer.steps" else round((given or 0) * steps_per_epoch)
    if total < trained_steps:
        epochs = f"{trained_steps / steps_per_epoch:g} epochs"
        text = f"is less than what the run has trained ({trained_steps} steps, {epochs})"
        yield Problem(key, given, text, f"set {key} to more, or leave it out")
