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
    """A new budget that is not used, would take steps back, or could not be used up."""
    in_steps = cfg.trainer.steps is not None
    key, given = (BUDGET[1], cfg.trainer.steps) if in_steps else (BUDGET[0], cfg.trainer.epochs)
    status = read_json(folder / "status.json")
    if in_steps and cfg.trainer.steps == read_json(folder / "manifest.json").get("config", {}).get("trainer"):
        return
