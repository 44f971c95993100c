"""Pictures as files in the run's folder."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from runner.durable import appearing
from runner.observers.observer import EvaluationRecord, Outcome, RunInfo, StepRecord
from runner.observers.pictures import Pictures


class Images:
    """The task's ``pictures`` of a fixed validation batch: ``images/<name>_step<0000123>.png`` in the run's folder.

    At most ``count`` pictures a grid, at the first evaluation and at each ``every_evaluations``-th one. Of a completed
    run ``images/test_<table>.png`` for each square table that the test part has, such as the confusion matrix.
    Raises ``ValueError`` for a number below 1, and when the run has no folder.
    """

    def __init__(self, count: int = 16, every_evaluations: int = 1) -> None:
        for key, value in (("count", count), ("every_evaluations", every_evaluations)):
            if value < 1:
                raise ValueError(
                    f"{key} of Images must be at least 1, got {value}; for no pictures leave images out of logger"
                )
        self.pictures = Pictures(count=count, every_evaluations=every_evaluations)
        self._folder: Path | None = None

    def started(self, run: RunInfo) -> None:
        if run.folder is None:
            raise ValueError("Images needs a run with a folder to write into; give one, or leave Images out")
        self._folder = run.folder / "images"
        self.pictures.started(run)

    def logged(self, record: StepRecord) -> None: ...

    def evaluated(self, record: EvaluationRecord) -> None:
        for name, picture in self.pictures.drawn(record.step).items():
            self._write(f"{name}_step{record.step:07d}", picture)

    def finished(self, outcome: Outcome) -> None:
        for name, picture in self.pictures.tables(outcome).items():
            self._write(name, picture)
        self.pictures.finished()

    def _write(self, name: str, picture: Tensor) -> None:
        assert self._folder is not None, "started comes first"
        write_png(self._folder / f"{name.replace('/', '_')}.png", picture)


def write_png(path: Path, image: Tensor) -> None:
    """Write an image (C, H, W) in [0, 1]: grey from one or two channels, colour from the first three of more."""
    from PIL import Image

    levels = image.mul(255).round().to(torch.uint8)
    array = levels[0] if len(levels) < 3 else levels[:3].permute(1, 2, 0)
    with appearing(path) as temporary:
        Image.fromarray(array.contiguous().numpy()).save(temporary, format="PNG")
