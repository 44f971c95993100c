"""What proves that two runs were the same: digests of all weights and scores, at each evaluation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from runner import digest
from runner.durable import appearing
from runner.observers.observer import EvaluationRecord, Outcome, RunInfo, StepRecord

if TYPE_CHECKING:
    from torch import nn

NAME = "digests.jsonl"
SHORT = 16  # hexadecimal digits kept of a single tensor's digest


class Digests:
    """``digests.jsonl`` in the run's folder: a line for the initial weights, then one for each evaluation.

    A line has the step, one digest over all weights and one over all metrics, the metrics, and for each tensor the
    beginning of its digest and its Euclidean norm. A resumed run first drops the lines after the step at
    which it goes on. Raises ``ValueError`` when the run has no folder.
    """

    def __init__(self) -> None:
        self._path: Path | None = None
        self._task: nn.Module | None = None

    def started(self, run: RunInfo) -> None:
        if run.folder is None:
            raise ValueError("Digests needs a run with a folder to write into; give one, or leave Digests out")
        self._path, self._task = run.folder / NAME, run.task
        lines = _lines(self._path) if run.first_step else {}
        kept = [text for text, line in lines.items() if line["step"] <= run.first_step]
        with appearing(self._path) as temporary:
            temporary.write_text("".join(kept), encoding="utf-8")
        if run.first_step == 0:
            self._append(0, {})

    def logged(self, record: StepRecord) -> None: ...

    def evaluated(self, record: EvaluationRecord) -> None:
        self._append(record.step, record.metrics)

    def finished(self, outcome: Outcome) -> None:  # noqa: ARG002
        self._path = self._task = None

    def _append(self, step: int, metrics: Mapping[str, float]) -> None:
        assert self._path is not None, "started comes first"
        assert self._task is not None, "started comes first"
        weights = {name: tensor.detach().cpu() for name, tensor in digest.weights(self._task).items()}
        digests = {name: digest.of_tensor(tensor) for name, tensor in weights.items()}
        line = {
            "step": step,
            "weights_sha256": digest.of_named(digests),
            "metrics_sha256": digest.of_metrics(metrics),
            "metrics": dict(metrics),
            "tensors": {name: [digests[name][:SHORT], _norm(tensor)] for name, tensor in weights.items()},
        }
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _norm(tensor: Tensor) -> float:
    magnitudes = tensor.abs() if tensor.is_complex() else tensor
    return float(torch.linalg.vector_norm(magnitudes.double()))


def read(folder: Path) -> list[dict[str, Any]]:
    """The whole lines of a run's ``digests.jsonl``, in order; none when there is no such file.

    Raises ``ValueError`` for a damaged one.
    """
    return list(_lines(folder / NAME).values())


def _lines(path: Path) -> dict[str, dict[str, Any]]:
    """Those that end, by their text: a killed run may leave half a line."""
    if not path.is_file():
        return {}
    texts = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return {
        text: _line(text, f"line {number} of {path}") for number, text in enumerate(texts, 1) if text.endswith("\n")
    }


def _line(text: str, where: str) -> dict[str, Any]:
    try:
        line: dict[str, Any] = json.loads(text)
        int(line["step"])
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{where} is damaged: it is no record of an evaluation; move the file away to go on") from None
    return line
