"""Whether a run can go on in its folder. Free of torch until a checkpoint is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig

from runner.config import build
from runner.config.identity import BUDGET, changes, may_change
from runner.lock import holder
from runner.preflight.folder import load
from runner.problem import Problem
from runner.results.manifest import read_json


def resume_problems(folder: Path, cfg: DictConfig) -> Iterator[Problem]:
    """What stands against going on with the run in ``folder`` under ``cfg``."""
    saved = load(folder / ".hydra" / "config.yaml")
    if saved is None:
        yield Problem("resume", folder, "its .hydra/config.yaml cannot be read", "restore it, or start a new run")
        return
    in_use = holder(folder)
    if in_use:
        yield Problem("resume", folder, in_use, "")
    differing = changes(saved, cfg)
    for key, (before, now) in differing.items():
        if not may_change(key):
            remedy = f"start a new run; init_from={folder} takes over the weights"
            yield Problem(key, now, f"cannot change while a run is under way (it has {before})", remedy)
    trained_steps, damage = _checkpointed(folder)
    if damage:
        text = f"no checkpoint is sound: {'; '.join(damage)}"
        yield Problem("resume", folder, text, "restore one of the files from a copy, or start a new run")
    if differing.keys() & set(BUDGET):
        yield from _budget_problems(folder, cfg, trained_steps)


def data_problems(folder: Path, cfg: DictConfig) -> Iterator[Problem]:
    """Other data than the run in ``folder`` was trained on. Loads them, unless they are loaded already."""
    before = read_json(folder / "manifest.json").get("data", {}).get("sha256")
    now = build.load_splits(cfg).digest if before is not None else None
    if now != before:
        text = f"the data are not those that the run was trained on: their sha256 is {now}, it was {before}"
        yield Problem("dataset", None, text, "restore them, or start a new run")


def _checkpointed(folder: Path) -> tuple[int, list[str]]:
    """The step of the newest sound checkpoint, 0 when there is none; and what is wrong when none of them is sound."""
    files = [file for name in ("last.pt", "previous.pt") if (file := folder / "checkpoints" / name).is_file()]
    if not files:
        return 0, []
    from runner.checkpoint import Unsound, read

    damage = []
    for file in files:
        try:
            return int(read(file)["step"]), []
        except Unsound as error:
            damage.append(str(error))
    return 0, damage


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
