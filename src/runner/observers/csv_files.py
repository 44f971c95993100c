"""History as tables that any program reads: one row an evaluation, one row a logged step."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from runner.durable import appearing
from runner.observers.observer import EvaluationRecord, Outcome, RunInfo, StepRecord

Cell = float | int | None


class CsvFiles:
    """``history.csv`` (a row an evaluation) and ``steps.csv`` (a row a logged step) in the run's folder.

    Columns: step, epoch, the metrics or losses, the learning rates, the momenta that move, samples_per_s, warmup_s,
    elapsed_s, and on a GPU memory_gib. A row is on its way to the disk when the call returns. Floats are written so
    that ``float`` reads back the same number; what was not measured is empty. A resumed run first drops the rows after
    the step at which it goes on; one from step 0 starts the files anew.
    Raises ``ValueError`` when the run has no folder.
    """

    def __init__(self) -> None:
        self._history: _Table | None = None
        self._steps: _Table | None = None

    def started(self, run: RunInfo) -> None:
        if run.folder is None:
            raise ValueError("CsvFiles needs a run with a folder to write into; give one, or leave CsvFiles out")
        self._history = _Table(run.folder / "history.csv", last_step=run.first_step)
        self._steps = _Table(run.folder / "steps.csv", last_step=run.first_step)

    def logged(self, record: StepRecord) -> None:
        assert self._steps is not None, "started comes first"
        self._steps.append(_row(record, record.losses))

    def evaluated(self, record: EvaluationRecord) -> None:
        assert self._history is not None, "started comes first"
        self._history.append(_row(record, record.metrics))

    def finished(self, outcome: Outcome) -> None:  # noqa: ARG002
        for table in (self._history, self._steps):
            if table is not None:
                table.close()


def _row(record: StepRecord | EvaluationRecord, values: Mapping[str, float]) -> dict[str, Cell]:
    return {
        "step": record.step,
        "epoch": record.epoch,
        **values,
        **record.learning_rates,
        **record.momenta,
        "samples_per_s": record.samples_per_s,
        "warmup_s": record.warmup_s,
        "elapsed_s": record.elapsed_s,
        **({} if record.memory_gib is None else {"memory_gib": record.memory_gib}),
    }


class _Table:
    """A CSV file that grows by rows; its columns are those of the first row, later ones are added."""

    def __init__(self, path: Path, *, last_step: int) -> None:
        self.path = path
        self.columns: list[str] = []
        self._file: TextIO | None = None
        if last_step == 0:
            path.unlink(missing_ok=True)
        elif path.exists():
            self._cut(last_step)

    def append(self, row: Mapping[str, Cell]) -> None:
        new = [name for name in row if name not in self.columns]
        if new and self.columns:
            self._widen(new)
        if self._file is None:
            self._file = self.path.open("a", encoding="utf-8", newline="")
        if new and not self.columns:
            self.columns = new
            self._file.write(_line(new))
        self._file.write(_line([_text(row[name]) if name in row else "" for name in self.columns]))
        self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _cut(self, last_step: int) -> None:
        """Keep the whole rows up to ``last_step``, to the byte."""
        lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
        if lines and (not lines[-1].endswith("\n") or len(_cells(lines[-1])) < len(_cells(lines[0]))):
            lines.pop()
        if not lines:
            self.path.unlink()
            return
        self.columns = _cells(lines[0])
        kept = [line for number, line in enumerate(lines[1:], 2) if self._step_of(line, number) <= last_step]
        _replace(self.path, lambda file: file.writelines([lines[0], *kept]))

    def _step_of(self, line: str, number: int) -> int:
        try:
            return int(dict(zip(self.columns, _cells(line), strict=True))["step"])
        except (KeyError, ValueError):
            raise ValueError(
                f"{self.path} is damaged: line {number} has no step, got {line.strip()!r}; move the file away to go on"
            ) from None

    def _widen(self, new: Sequence[str]) -> None:
        """Add columns, empty in the rows before."""
        self.close()
        header, *rows = self.path.read_text(encoding="utf-8").splitlines()
        wider = [_line([*_cells(header), *new]), *(_line([*_cells(row), *("" for _ in new)]) for row in rows)]
        _replace(self.path, lambda file: file.writelines(wider))
        self.columns += new


def _text(value: Cell) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else repr(float(value))


def _cells(line: str) -> list[str]:
    return next(csv.reader([line]), [])


def _line(cells: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _replace(path: Path, write: Callable[[TextIO], object]) -> None:
    with appearing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        write(file)
