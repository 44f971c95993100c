"""The observer that records weights while a run trains."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from runner.observers.observer import EvaluationRecord, Outcome, RunInfo, StepRecord
from runner.plan import Plan
from runner.problem import Problem
from runner.trajectory.cadence import Cadence
from runner.trajectory.place import FOLDER
from runner.trajectory.selection import Selection
from runner.trajectory.store import DTYPES, FORMATS, Layout, missing, open_store
from runner.trajectory.writer import Writer

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Extent:
    """What a recording comes to."""

    tensors: int
    values: int
    snapshots: int
    bytes: int
    dtype: str

    def line(self) -> str:
        """``trajectory: 5 tensors, 61,470 values, 14 snapshots in fp32: 3.3 MiB``."""
        size = f"{self.bytes / 2**30:.2f} GiB" if self.bytes >= 2**30 else f"{self.bytes / 2**20:.2f} MiB"
        what = f"{self.tensors:,} tensors, {self.values:,} values, {self.snapshots:,} snapshots"
        return f"trajectory: {what} in {self.dtype}: {size}"


class Recorder:
    """Weights along training in the folder ``trajectory`` of the run: those of step 0, of the last step, and between.

    When is that of ``Cadence``, which weights that of ``Selection``. ``dtype``: fp32, fp16, bf16. ``format``:
    "records", one file that can be mapped into memory, or "safetensors", a file a snapshot. The values are taken on
    the step and written by a thread, with room for two snapshots. A checkpoint waits for those before it, so a run
    that goes on from it lacks none; those after its step are dropped first. What cannot be written fails the run at the
    next snapshot, the next checkpoint or the end.
    Raises ``ValueError`` for settings that do not fit, and when the run has no folder.
    """

    def __init__(
        self,
        *,
        every_epochs: int | None = None,
        every_steps: int | None = None,
        per_decade: int | None = None,
        at_steps: Sequence[int] = (0,),
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        norms_and_biases: bool = False,
        buffers: bool = False,
        dtype: str = "fp32",
        format: str = "records",
    ) -> None:
        self.cadence = Cadence(every_epochs, every_steps, per_decade, at_steps)
        self.selection = Selection(include=include, exclude=exclude, norms_and_biases=norms_and_biases, buffers=buffers)
        for key, value, choices in (("dtype", dtype, DTYPES), ("format", format, FORMATS)):
            if value not in choices:
                raise ValueError(f"{key} must be one of {', '.join(choices)}, got {value}; set trajectory.{key}=<one>")
        if format == "safetensors" and importlib.util.find_spec("safetensors") is None:
            raise ValueError("format=safetensors needs the package safetensors; install runner[safetensors]")
        self.dtype, self.format = dtype, format
        self._tensors: dict[str, Tensor] = {}
        self._plan: Plan | None = None
        self._writer: Writer | None = None
        self._last_step = -1

    def problems(self, task: nn.Module, plan: Plan) -> Iterator[Problem]:
        """What would not be recorded although it was asked for. Keys are relative to ``trajectory``."""
        yield from self.cadence.problems(plan)
        yield from self.selection.problems(task)

    def extent(self, task: nn.Module, plan: Plan) -> Extent:
        """What recording the training of ``task`` comes to; its tensors may lack content."""
        layout, count = self.layout(task), sum(1 for _ in self.cadence.steps(plan))
        return Extent(len(layout.shapes), layout.values, count, count * layout.record_bytes, self.dtype)

    def layout(self, task: nn.Module) -> Layout:
        return Layout.of(self.selection.of(task), dtype=self.dtype, format=self.format)

    def started(self, run: RunInfo) -> None:
        if run.folder is None:
            raise ValueError("a trajectory needs a run with a folder to write into; give one, or leave Recorder out")
        for problem in self.selection.problems(run.task):  # stand-alone use: nothing has checked it before
            raise ValueError(problem.line())
        self._plan, self._tensors = run.plan, self.selection.of(run.task)
        layout = self.layout(run.task)
        store = open_store(run.folder / FOLDER, layout, last_step=run.first_step)
        self._writer = Writer(store, layout, next(iter(self._tensors.values())).device)
        self._last_step = max(store.steps, default=-1)
        if run.first_step == 0:
            self._record(0)
            return
        due = [step for step in range(run.first_step + 1) if self.cadence.due(step, run.plan)]
        lost = missing(store.steps, due)
        if lost:
            log.warning("%s lacks the weights of %d steps, the first is %d", run.folder / FOLDER, len(lost), lost[0])

    def stepped(self, step: int) -> None:
        assert self._plan is not None, "started comes first"
        if self.cadence.due(step, self._plan):
            self._record(step)

    def logged(self, record: StepRecord) -> None: ...

    def evaluated(self, record: EvaluationRecord) -> None: ...

    def settled(self) -> None:
        """Wait until all that was recorded is on the disk."""
        if self._writer is not None:
            self._writer.settle()

    def finished(self, outcome: Outcome) -> None:
        """A training that completed has its last weights recorded, wherever it ended."""
        writer = self._writer
        if writer is None:
            return
        try:
            if outcome.state == "completed" and outcome.step > self._last_step:
                self._record(outcome.step)
        finally:
            self._writer, self._tensors = None, {}
            writer.close()

    def _record(self, step: int) -> None:
        assert self._writer is not None, "started comes first"
        self._writer.write(step, self._tensors)
        self._last_step = step
