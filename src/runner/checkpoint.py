"""Everything with memory, by name, in one file that appears whole or not at all."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

FORMAT = 1


class Stateful(Protocol):
    """Something with memory: a module, an update, the state of the run."""

    def state_dict(self) -> Any: ...

    def load_state_dict(self, state: Any, /) -> Any: ...


def write_whole(path: Path, content: Mapping[str, Any]) -> None:
    """Write by temporary file, fsync and rename, so that ``path`` is always the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            torch.save(dict(content), file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read(path: Path) -> dict[str, Any]:
    """The content of a checkpoint, on the CPU. Raises ``ValueError`` for a file that is not one of ours."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (EOFError, RuntimeError, pickle.UnpicklingError) as error:
        raise ValueError(f"{path} is not a checkpoint, or not a whole one") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path} is not a checkpoint of this version (format {FORMAT})")
    return content


class Checkpoints(Protocol):
    """Where the state of a run is kept."""

    def save(self, step: int) -> None: ...

    def save_best(self, step: int, improved: Mapping[str, float]) -> None: ...


class NoCheckpoints:
    """Keeps nothing: stand-alone use."""

    def save(self, step: int) -> None: ...

    def save_best(self, step: int, improved: Mapping[str, float]) -> None: ...


class FolderCheckpoints:
    """``last.pt`` with all of ``parts``, and ``best_<metric>.pt`` with the weights that scored best.

    ``parts`` maps a name to each thing with memory; "task" is the one whose weights are kept in the best files.
    """

    def __init__(self, folder: Path, parts: Mapping[str, Stateful]) -> None:
        self.folder = folder
        self.parts = parts
        self.saved_step: int | None = None

    @property
    def last(self) -> Path:
        return self.folder / "last.pt"

    def save(self, step: int) -> None:
        """Write ``last.pt``, unless it already holds this step."""
        if step == self.saved_step:
            return
        states = {name: part.state_dict() for name, part in self.parts.items()}
        write_whole(self.last, {"format": FORMAT, "step": step, "parts": states})
        self.saved_step = step

    def save_best(self, step: int, improved: Mapping[str, float]) -> None:
        """Write ``best_<metric>.pt`` for each metric of ``improved``."""
        if not improved:
            return
        content = {
            "format": FORMAT,
            "step": step,
            "metrics": dict(improved),
            "task": self.parts["task"].state_dict(),
        }
        for name in improved:
            write_whole(self.folder / f"best_{name.removeprefix('valid/').replace('/', '_')}.pt", content)

    def restore(self, path: Path | None = None) -> int:
        """Put every part where the checkpoint says (``last.pt`` unless ``path`` is given); its step."""
        content = read(path or self.last)
        if "parts" not in content:
            raise ValueError(f"{path} holds weights only; a run goes on from last.pt")
        missing = set(self.parts) ^ set(content["parts"])
        if missing:
            raise ValueError(f"{path or self.last} belongs to another run: {', '.join(sorted(missing))} do not match")
        for name, part in self.parts.items():
            part.load_state_dict(content["parts"][name])
        self.saved_step = int(content["step"])
        return self.saved_step
