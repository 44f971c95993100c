"""A finished run, kept: its weights as safetensors, what it was and what came of it, with checksums."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from runner import checksums, weights_file
from runner.afterwards.shelf import NAME, numbered
from runner.afterwards.weights import checkpoints_of, read
from runner.durable import sync_folder
from runner.problem import Failed, Refused
from runner.weights_file import WeightsFile

TEXTS = (
    "manifest.json",
    "status.json",
    "history.csv",
    "steps.csv",
    "digests.jsonl",
    "summary.txt",
    "code*.diff",
    ".hydra/*.yaml",
)


def archive(run: Path, shelf: Path, *, model: str, seed: int, day: date | None = None) -> Path:
    """Keep ``run`` as ``shelf/archived_v<N>_<day>__<model>__<seed>``, N the next free number there; the new folder.

    It has what ``TEXTS`` names, and of each checkpoint the weights alone. The run is only read. The folder appears
    when all of it was read back and found to be the same; another process at work there takes another number.
    Raises ``Refused`` without the package safetensors or without sound weights, ``Failed`` for a copy that is not one.
    """
    if find_spec("safetensors") is None:
        raise Refused([f"archive {run}: needs the package safetensors; install runner[safetensors]"])
    weights = [read(file) for file in checkpoints_of(run) if file.stem != "previous"]
    if not weights:
        raise Refused([f"archive {run}: has no checkpoint to keep; name a run that has"])
    with numbered(shelf) as (number, made):
        for file in _texts(run):
            _copy(file, made / file.relative_to(run))
        for one in weights:
            _save(one, made / "checkpoints" / f"{one.path.stem}.safetensors")
        kept = [file for file in made.rglob("*") if file.is_file()]
        _write(made / checksums.NAME, checksums.text_of(made, kept))
        verify(run, made, weights)
        final = shelf / f"{NAME}{number}_{day or date.today()}__{model}__{seed}"
        made.rename(final)
    sync_folder(shelf)
    return final


def _texts(run: Path) -> list[Path]:
    return sorted(file for pattern in TEXTS for file in run.glob(pattern) if file.is_file())


def _copy(source: Path, target: Path) -> None:
    _write(target, source.read_bytes())


def _write(target: Path, content: str | bytes) -> None:
    target.parent.mkdir(exist_ok=True)
    with target.open("xb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())


def _save(weights: WeightsFile, target: Path) -> None:
    import torch
    from safetensors.torch import save

    tensors = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in weights.tensors.items()}
    _write(target, save(tensors, metadata={} if weights.step is None else {"runner.step": str(weights.step)}))


def verify(run: Path, made: Path, weights: Sequence[WeightsFile]) -> None:
    """Read all of it again, and compare with the run. Raises ``Failed``."""
    wrong = checksums.damaged(made)
    kept = {file.relative_to(made).as_posix() for file in made.rglob("*") if file.is_file()} - {checksums.NAME}
    wrong += [f"{name} is not in {checksums.NAME}" for name in sorted(kept ^ checksums.known(made).keys())]
    for file in _texts(run):
        if (made / file.relative_to(run)).read_bytes() != file.read_bytes():
            wrong.append(f"{file.relative_to(run)} is not what the run has")
    for one in weights if not wrong else ():  # damaged ones are not read
        name = f"checkpoints/{one.path.stem}.safetensors"
        again = weights_file.read(made / name)
        if again.step != one.step or not _equal(one.tensors, again.tensors):
            wrong.append(f"{name} is not what {one.path} has")
    if wrong:
        raise Failed(f"archive {run}: what was written is not what was read: {'; '.join(wrong)}; nothing is kept")


def _equal(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    """To the bit: NaN is equal to itself."""
    from runner.digest import of_tensor

    return ours.keys() == theirs.keys() and all(of_tensor(ours[name]) == of_tensor(theirs[name]) for name in ours)
