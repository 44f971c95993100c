"""Where the time of a step goes."""

from __future__ import annotations

from pathlib import Path

from runner.observers.observer import EvaluationRecord, Outcome, RunInfo, StepRecord


class Profile:
    """Profiles the steps after the first ``skip_steps`` logged ones; leaves ``profile/table.txt`` and ``trace.json``.

    Set ``trainer.log_every_steps=1``, as ``debug=profile`` does. The trace opens in a browser's trace viewer.
    Raises ``ValueError`` for a negative number of steps to skip.
    """

    def __init__(self, *, skip_steps: int = 5) -> None:
        if skip_steps < 0:
            raise ValueError(f"logger.profile.skip_steps must not be negative, got {skip_steps}")
        self.skip_steps = skip_steps
        self.folder: Path | None = None
        self.seen = 0
        self.running = False

    def started(self, run: RunInfo) -> None:
        from torch.profiler import profile

        self.folder = run.folder / "profile" if run.folder is not None else None
        self.profiler = profile(record_shapes=True)

    def logged(self, record: StepRecord) -> None:  # noqa: ARG002
        self.seen += 1
        if self.seen > self.skip_steps and not self.running:
            self.running = True
            self.profiler.start()

    def evaluated(self, record: EvaluationRecord) -> None: ...

    def finished(self, outcome: Outcome) -> None:  # noqa: ARG002
        if not self.running:
            return
        self.profiler.stop()
        self.running = False
        if self.folder is not None:
            self.folder.mkdir(exist_ok=True)
            averages = self.profiler.key_averages()
            (self.folder / "table.txt").write_text(averages.table(sort_by="self_cpu_time_total", row_limit=40))
            self.profiler.export_chrome_trace(str(self.folder / "trace.json"))
