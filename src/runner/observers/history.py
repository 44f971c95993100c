"""Learning curves as pictures, at the end of a run."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from runner import drawing
from runner.durable import write_whole
from runner.observers import digests
from runner.observers.history_pictures import FOLDER, History, pictures
from runner.observers.observer import EvaluationRecord, Outcome, RunInfo, StepRecord

log = logging.getLogger(__name__)


class HistoryPictures:
    """``history/loss.svg``, ``history/accuracy.svg``, …: curves of the loss and of each metric, however the run ended.

    Of a run with fewer than two evaluations there are none. A run that goes on draws what it measured before, too, as
    ``digests.jsonl`` has it. Without matplotlib nothing is drawn, which ``runner.log`` says.
    Raises ``ValueError`` when the run has no folder.
    """

    def __init__(self) -> None:
        self._run: RunInfo | None = None
        self._scores: dict[int, Mapping[str, float]] = {}
        self._best: Mapping[str, float] = {}

    def started(self, run: RunInfo) -> None:
        if run.folder is None:
            raise ValueError("HistoryPictures needs a run with a folder to write into; give one, or leave it out")
        self._run, self._best = run, run.best
        before = digests.read(run.folder) if run.first_step else []
        self._scores = {line["step"]: line["metrics"] for line in before if 0 < line["step"] <= run.first_step}
        if not drawing.available():
            log.info("no pictures of the history: they need matplotlib; pip install 'runner[report]'")

    def logged(self, record: StepRecord) -> None: ...

    def evaluated(self, record: EvaluationRecord) -> None:
        self._scores[record.step] = record.metrics
        self._best = record.best

    def finished(self, outcome: Outcome) -> None:
        run, self._run = self._run, None
        if run is None or run.folder is None or not drawing.available():
            return
        history = History(self._scores, run.plan.steps_per_epoch, self._best, outcome.metrics)
        for metric, svg in pictures(history).items():
            write_whole(run.folder / FOLDER / f"{metric}.svg", svg)
