"""A sweep's folder, written by hand: as many runs as a test wants, of known scores, none of them trained."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from results.recorded_run import line, sha, write_run

MODELS: dict[str, dict[str, Any]] = {
    "lenet": {"_target_": "runner.models.LeNet", "dropout": 0.0},
    "vgg16": {"_target_": "runner.models.VGG", "depth": 16, "dropout": 0.0},
    "mlp": {"_target_": "runner.models.MLP", "hidden": [64]},
}


def config(model: str = "lenet", seed: int = 0, **changed: Any) -> dict[str, Any]:
    """The resolved configuration of a small run; ``changed`` are leaves: ``optimizer__lr=0.1``."""
    made: dict[str, Any] = {
        "seed": seed,
        "model": dict(MODELS[model]),
        "optimizer": {"_target_": "torch.optim.Adam", "lr": 0.001},
        "dataset": {"_target_": "runner.data.sources.Digits", "seed": 0},
        "trainer": {"epochs": 2, "batch_size": 32, "best": {"accuracy": "max"}},
        "stopping": {},
    }
    for key, value in changed.items():
        *parts, last = key.split("__")
        node = made
        for part in parts:
            node = node.setdefault(part, {})
        node[last] = value
    return made


def write_job(
    sweep: Path,
    model: str = "lenet",
    seed: int = 0,
    *,
    accuracy: float = 0.9,
    valid: float | None = None,
    state: str = "completed",
    name: str = "",
    curve: Sequence[float] = (),
    steps_per_epoch: int = 10,
    minutes: int = 1,
    settings: Mapping[str, Any] | None = None,
    **facts: Any,
) -> Path:
    """A run whose test accuracy is ``accuracy`` and whose best validation accuracy is ``valid``, or the same.

    ``curve`` has its validation accuracy after each epoch.
    """
    folder = sweep / (name or f"{model}__{seed}")
    completed = state == "completed"
    best = accuracy if valid is None else valid
    epochs = [
        line(epoch * steps_per_epoch, metrics={"train/loss": 2 * math.exp(-epoch), "valid/accuracy": value})
        for epoch, value in enumerate(curve, start=1)
    ]
    known: dict[str, Any] = {
        "config": config(model, seed, **(settings or {})),
        "metrics": {"test/loss": 1 - accuracy, "test/accuracy": accuracy} if completed else {},
        "best": {"valid/accuracy": best},
        "weights_sha256": sha(f"{model} {seed} {accuracy}") if completed else None,
        "started": "2026-11-22T10:00:00+00:00",
        "updated": f"2026-11-22T10:{minutes:02}:00+00:00",
        "steps_per_epoch": steps_per_epoch,
    }
    reason = str(facts.pop("reason", ""))
    step = int(facts.pop("step", 20))
    write_run(folder, lines=[line(0), *epochs], state=state, reason=reason, step=step, **known | facts)
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "config.yaml").write_text("")
    return folder


def write_ledger(sweep: Path, jobs: Sequence[tuple[str, Mapping[str, Any], Mapping[str, str]]]) -> None:
    """``sweep.json`` for jobs of these names, configurations and choices."""
    entries = [
        {
            "name": name,
            "seed": settings["seed"],
            "choices": dict(choices),
            "overrides": [],
            "config": dict(settings),
            "config_digest": sha(json.dumps(settings)),
        }
        for name, settings, choices in jobs
    ]
    sweep.mkdir(exist_ok=True)
    (sweep / "sweep.json").write_text(json.dumps({"format": 1, "created": "", "argv": [], "code": {}, "jobs": entries}))
