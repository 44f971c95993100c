"""Those who look on while a run trains. Each name is imported when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.observers.console import Console
    from runner.observers.csv_files import CsvFiles
    from runner.observers.history import HistoryPictures
    from runner.observers.images import Images
    from runner.observers.mlflow_tracker import mlflow
    from runner.observers.novelty import NoveltyPictures
    from runner.observers.observer import EvaluationRecord, Observer, Outcome, RunInfo, StepRecord
    from runner.observers.observers import Observers
    from runner.observers.profile import Profile
    from runner.observers.tensorboard import TensorBoard
    from runner.observers.tracking import Tracking
    from runner.observers.wandb_tracker import wandb

__all__ = [
    "Console",
    "CsvFiles",
    "EvaluationRecord",
    "HistoryPictures",
    "Images",
    "NoveltyPictures",
    "Observer",
    "Observers",
    "Outcome",
    "Profile",
    "RunInfo",
    "StepRecord",
    "TensorBoard",
    "Tracking",
    "mlflow",
    "wandb",
]

_MODULES = {
    "Console": "console",
    "CsvFiles": "csv_files",
    "EvaluationRecord": "observer",
    "HistoryPictures": "history",
    "Images": "images",
    "NoveltyPictures": "novelty",
    "Observer": "observer",
    "Observers": "observers",
    "Outcome": "observer",
    "Profile": "profile",
    "RunInfo": "observer",
    "StepRecord": "observer",
    "TensorBoard": "tensorboard",
    "Tracking": "tracking",
    "mlflow": "mlflow_tracker",
    "wandb": "wandb_tracker",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
