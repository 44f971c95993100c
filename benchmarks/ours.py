"""A run of ours in this process, composed as on the command line, with a clock among its observers."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from runner.config.conf_dir import conf_dir
from runner.config.schema import register
from runner.observers.observer import EvaluationRecord, Outcome, RunInfo, StepRecord
from runner.run import run


class Clock:
    """An observer that notes when steps were logged; the loop has waited for the device by then."""

    def __init__(self) -> None:
        self.logged_s: dict[int, float] = {}

    def started(self, run: RunInfo) -> None: ...

    def logged(self, record: StepRecord) -> None:
        self.logged_s[record.step] = time.perf_counter()

    def evaluated(self, record: EvaluationRecord) -> None: ...

    def finished(self, outcome: Outcome) -> None: ...

    def between_s(self, first_step: int, last_step: int) -> float:
        return self.logged_s[last_step] - self.logged_s[first_step]


def configured(*overrides: str, **settings: Any) -> DictConfig:
    """The configuration that ``python -m runner *overrides`` would train; ``settings`` are those of the trainer."""
    asked = [*overrides, *(f"trainer.{key}={'null' if value is None else value}" for key, value in settings.items())]
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose("config", overrides=asked)


def took_s(cfg: DictConfig, *, first_step: int, last_step: int) -> float:
    """Seconds between two logged steps of a whole run, with all its observers; what it prints is not shown."""
    clock = Clock()
    with TemporaryDirectory() as folder, Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        run(cfg, Path(folder), name="ours", observers=[clock])
    return clock.between_s(first_step, last_step)
