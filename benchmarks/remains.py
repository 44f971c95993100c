"""What two runs left in their folders, compared to the bit: all but what tells the time."""

from __future__ import annotations

import csv
import json
import logging
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

CLOCK = ("samples_per_s", "warmup_s", "elapsed_s", "memory_gib")  # columns and tags
OF_THE_NUMBERS = (
    *("status", "metrics", "weights_sha256", "initial_weights_sha256", "first_batch_sha256"),
    *("evaluations", "best", "data", "precision", "steps", "steps_per_epoch", "parameters"),
)
"""Keys of a manifest that are the same however often a run was interrupted."""


def differences(whole: Path, resumed: Path) -> list[str]:
    """In what two runs' folders differ; nothing when all that counts is the same."""
    looks: dict[str, Callable[[Path], Any]] = {
        "files": _names,
        "checkpoints": _checkpoints,
        "history.csv": lambda folder: _rows(folder / "history.csv"),
        "steps.csv": lambda folder: _rows(folder / "steps.csv"),
        "digests.jsonl": lambda folder: _text(folder / "digests.jsonl"),
        "summary.txt": lambda folder: _text(folder / "summary.txt"),
        "trajectory": lambda folder: {file.name: file.read_bytes() for file in folder.glob("trajectory/*")},
        "images": lambda folder: {file.name: file.read_bytes() for file in folder.glob("images/*")},
        "tensorboard": scalars,
        "manifest.json": _facts,
    }
    return [line for name, look in looks.items() for line in _differing(name, look(whole), look(resumed))]


def _differing(name: str, left: Any, right: Any) -> Iterator[str]:
    one, other = dict(_leaves(name, left)), dict(_leaves(name, right))
    for key in dict.fromkeys([*one, *other]):
        if key not in one or key not in other:
            yield f"{key}: only in the {'whole' if key in one else 'resumed'} run"
        elif not same(one[key], other[key]):
            yield f"{key}: {_shown(one[key])} and {_shown(other[key])}"


def _leaves(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(f"{prefix}/{key}", inner)
    elif isinstance(value, (list, tuple)):
        yield f"{prefix}/length", len(value)
        for place, inner in enumerate(value):
            yield from _leaves(f"{prefix}/{place}", inner)
    else:
        yield prefix, value


def same(left: Any, right: Any) -> bool:
    """Equal bits: 0.0 and -0.0 are two numbers, a NaN is one."""
    if isinstance(left, Tensor) and isinstance(right, Tensor):
        alike = (left.dtype, left.shape, left.device) == (right.dtype, right.shape, right.device)
        return alike and torch.equal(_bytes(left), _bytes(right))
    if isinstance(left, float) and isinstance(right, float):
        return struct.pack("d", left) == struct.pack("d", right)
    return type(left) is type(right) and bool(left == right)


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def _shown(value: Any) -> str:
    return repr(value if not isinstance(value, Tensor) else value.flatten()[:3].tolist())[:120]


def _names(folder: Path) -> dict[str, bool]:
    """Files by name. How many event files there are, and whether code was changed meanwhile, does not count."""
    files = (file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
    return {str(file): True for file in files if file.parts[0] != "tensorboard" and not file.match("code*.diff")}


def _checkpoints(folder: Path) -> dict[str, Any]:
    return {file.name: torch.load(file, weights_only=True) for file in sorted(folder.glob("checkpoints/*.pt"))}


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return [{key: row[key] for key in row if key not in CLOCK} for row in csv.DictReader(file)]


def _text(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """``{tag: [(step, value), …]}``: what TensorBoard shows of the run in ``folder``."""
    from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it tells of each resumption
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={SCALARS: 0}).Reload()
    tags = [tag for tag in events.Tags()[SCALARS] if tag not in CLOCK]
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in sorted(tags)}


def _facts(folder: Path) -> dict[str, Any]:
    manifest = json.loads((folder / "manifest.json").read_text())
    status = json.loads((folder / "status.json").read_text())
    ending = {key: status[key] for key in ("state", "reason", "step")}
    return {key: manifest.get(key) for key in OF_THE_NUMBERS} | {"ending": ending}
