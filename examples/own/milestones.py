"""An observer of one's own: anything with these four methods. It may look at a run, but not touch it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from runner.observers import EvaluationRecord, Outcome, RunInfo, StepRecord


class Milestones:
    """Notes in ``milestones.txt`` when ``metric`` first reached each of ``values``."""

    def __init__(self, *, metric: str, values: Sequence[float]) -> None:
        self.metric = metric
        self.values = sorted(values)
        self._file: Path | None = None

    def started(self, run: RunInfo) -> None:
        self._file = None if run.folder is None else run.folder / "milestones.txt"
        if self._file is not None:
            self._file.touch()

    def logged(self, record: StepRecord) -> None: ...

    def evaluated(self, record: EvaluationRecord) -> None:
        while self.values and record.metrics[self.metric] >= self.values[0]:
            line = f"{self.metric} {self.values.pop(0)} at step {record.step}, {record.elapsed_s:.1f} s\n"
            if self._file is not None:
                with self._file.open("a") as file:
                    file.write(line)

    def finished(self, outcome: Outcome) -> None: ...
