"""The records of a run, written by hand: small, and different where a test wants them to be."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

CONFIG = {"seed": 0, "optimizer": {"lr": 0.1}, "trainer": {"epochs": 2}}
ENVIRONMENT = {"python": "3.11.9", "cpu": "Some CPU", "versions": {"torch": "2.9.0"}, "switches": {}}
CODE: dict[str, Any] = {"git": [], "modules": {"runner.loop": "1" * 64, "own.model": "2" * 64}}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def line(
    step: int, *, norms: Sequence[float] = (1.0, 2.0), metrics: Mapping[str, float] = MappingProxyType({})
) -> dict[str, Any]:
    """An evaluation of a model with ``len(norms)`` tensors, whose bits are known by their norms."""
    tensors = {f"model.{place}.weight": [sha(repr(norm))[:16], norm] for place, norm in enumerate(norms)}
    weights = sha(json.dumps(tensors))
    return {"step": step, "weights_sha256": weights, "metrics_sha256": "", "metrics": dict(metrics), "tensors": tensors}


LINES = [line(0), line(10, metrics={"valid/loss": 0.5}), line(20, metrics={"valid/loss": 0.25, "valid/accuracy": 0.75})]


def write_run(
    folder: Path,
    *,
    lines: Sequence[Mapping[str, Any]] = LINES,
    state: str = "completed",
    step: int = 20,
    reason: str = "",
    **facts: Any,
) -> Path:
    """Leave the manifest, status and digests of a run in ``folder``; ``facts`` replace what the manifest has."""
    folder.mkdir(parents=True)
    manifest = {
        "config": CONFIG,
        "environment": ENVIRONMENT,
        "code": CODE,
        "data": {"sha256": "d" * 64, "sizes": {"train": 80}},
        "device": "cpu",
        "precision": "fp32",
        "threads": 1,
        "steps_per_epoch": 10,
        "initial_weights_sha256": "a" * 64,
        "first_batch_sha256": "b" * 64,
        "weights_sha256": "c" * 64 if state == "completed" else None,
        "metrics": {"test/loss": 0.3} if state == "completed" else {},
        "sessions": [{"started": folder.name, "argv": [], "first_step": 0, "changed": {}}],
        "started": folder.name,
        "status": state,
    }
    status = {"state": state, "step": step, "reason": reason}
    (folder / "manifest.json").write_text(json.dumps(copy.deepcopy(manifest) | facts))
    (folder / "status.json").write_text(json.dumps(status))
    (folder / "digests.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder
