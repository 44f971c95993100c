"""What a run left of itself, read back for comparing. Free of torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.results.manifest import read_json


@dataclass(frozen=True)
class Evaluation:
    """A line of ``digests.jsonl``: the bits of the weights and the scores after ``step`` steps.

    ``tensors`` has a digest and the L2 norm for each name. Step 0 are the initial weights, which have no metrics.
    """

    step: int
    weights_sha256: str
    metrics: Mapping[str, float]
    tensors: Mapping[str, tuple[str, float]]


@dataclass(frozen=True)
class Recorded:
    """The records of one run. ``evaluations`` goes by step, in order; empty for a run that recorded none."""

    folder: Path
    manifest: Mapping[str, Any]
    status: Mapping[str, Any]
    evaluations: Mapping[int, Evaluation]

    @property
    def completed(self) -> bool:
        return bool(self.state == "completed")

    @property
    def state(self) -> str:
        return str(self.status.get("state") or self.manifest.get("status") or "unknown")

    @property
    def step(self) -> int | None:
        """Completed updates, as far as the run lived to tell."""
        return self.status.get("step")

    @property
    def last_evaluation(self) -> int:
        """The step of the last one; 0 when there is none."""
        return max(self.evaluations, default=0)

    def ending(self) -> str:
        """``failed at step 3: no memory``."""
        if self.state == "running":
            return "running, or killed"
        where = self.state if self.step is None else f"{self.state} at step {self.step}"
        reason = str(self.status.get("reason") or "")
        return f"{where}: {reason.splitlines()[0]}" if reason else where


def read_run(folder: Path) -> Recorded:
    """Raises ``ValueError`` for a folder without a manifest, and for a file that cannot be understood."""
    manifest = read_json(folder / "manifest.json")
    if not manifest:
        raise ValueError(f"{folder} is not the folder of a run: it has no manifest.json")
    evaluations = {evaluation.step: evaluation for evaluation in _evaluations(folder / "digests.jsonl")}
    return Recorded(folder, manifest, read_json(folder / "status.json"), evaluations)


def _evaluations(file: Path) -> Iterator[Evaluation]:
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True) if file.is_file() else []
    last_step = -1
    for number, line in enumerate(lines, start=1):
        if not line.endswith("\n"):  # the process was killed while it wrote this line
            return
        try:
            evaluation = _evaluation(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{file}: line {number} is not the record of an evaluation") from error
        if evaluation.step <= last_step:
            raise ValueError(f"{file}: line {number} is of step {evaluation.step}, which comes after step {last_step}")
        last_step = evaluation.step
        yield evaluation


def _evaluation(content: Mapping[str, Any]) -> Evaluation:
    return Evaluation(
        step=int(content["step"]),
        weights_sha256=content["weights_sha256"],
        metrics=dict(content["metrics"]),
        tensors={name: (digest, norm) for name, (digest, norm) in content.get("tensors", {}).items()},
    )
