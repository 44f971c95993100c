"""The weights along training: recorded, read back and analysed. Each name is imported when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.trajectory.reader import Trajectory, stacked
    from runner.trajectory.recorder import Recorder

__all__ = ["Recorder", "Trajectory", "stacked"]

_MODULES = {"Recorder": "recorder", "Trajectory": "reader", "stacked": "reader"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
