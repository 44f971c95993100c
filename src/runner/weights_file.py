"""Weights from a file: one of ours, or anybody's. Nothing in it is run, and torch is imported only to read it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner import checksums
from runner.best_files import BESIDE
from runner.problem import Problem

if TYPE_CHECKING:
    from torch import Tensor

NESTED = ("state_dict", "model_state_dict", "model")  # where others put the weights among other things
SUFFIXES = (".pt", ".safetensors")  # of a run's checkpoints, and of an archive's
OTHER = "give a file of weights, or a run's folder"


class UnusableWeights(ValueError):
    """Weights from which nothing can start; ``problem`` says why, and which setting to change."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.line())
        self.problem = problem


@dataclass(frozen=True)
class WeightsFile:
    """``tensors`` under the names that the file gives them; ``step`` at which a run of ours wrote it, if one did.

    ``averages`` has the moving averages of some of them, which that run evaluated instead, if it made any.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    step: int | None = None
    averages: Mapping[str, Tensor] = field(default_factory=dict)


def file_of(path: str | Path) -> Path:
    """The file that ``path`` means: itself, or of a run's folder its only ``best_*.pt``, or ``last.pt`` without any.

    Raises ``UnusableWeights`` where there is none, and for a folder with several best files.
    """
    given = Path(path).expanduser()
    try:
        if given.is_file():
            return given
        if given.is_dir():
            return _of_run(given)
        remedy = _nearest(given)
    except OSError as error:
        raise _unusable(given, f"cannot be read ({error.strerror})", OTHER) from error
    raise _unusable(given, "there is no such file or folder", remedy)


def read(path: str | Path) -> WeightsFile:
    """The weights of ``file_of(path)``, on the CPU.

    Reads our checkpoints and the files of archives, whose digest is verified; torch files of a ``state_dict``, alone
    or under one of ``NESTED``; and ``.safetensors``. Raises ``UnusableWeights`` for others, among them pickles that
    would run code.
    """
    file = file_of(path)
    try:
        if checksums.damaged(run_of(file), [file]):
            text = f"is damaged: it is not what {checksums.NAME} says"
            raise _unusable(file, text, "restore it from a copy")
        return _read(file)
    except OSError as error:
        raise _unusable(file, f"cannot be read ({error.strerror or error})", OTHER) from error


def run_of(file: Path) -> Path:
    """The folder of the run or the archive, if ``file`` is one of its checkpoints."""
    return file.resolve().parent.parent


def _read(file: Path) -> WeightsFile:
    if file.suffix == ".safetensors":
        tensors, step = _read_safetensors(file)
        return WeightsFile(file, _state_dict(tensors, file), step)
    if _is_sealed(file):
        return _read_ours(file)
    content = _read_torch(file)
    if isinstance(content, dict) and "format" in content and content.keys() & {"parts", "task"}:
        return _read_ours(file)  # which says what became of its digest
    return WeightsFile(file, _state_dict(content, file))


def _of_run(folder: Path) -> Path:
    checkpoints = folder / "checkpoints" if (folder / "checkpoints").is_dir() else folder
    of_metrics = (file for suffix in SUFFIXES for file in checkpoints.glob(f"best_*{suffix}"))
    best = sorted(file for file in of_metrics if BESIDE not in file.name)
    last = next((file for suffix in SUFFIXES if (file := checkpoints / f"last{suffix}").is_file()), None)
    if len(best) > 1:
        names = ", ".join(file.name for file in best)
        raise _unusable(folder, f"has several best checkpoints: {names}", f"choose one: init_from={best[0]}")
    found = best[0] if best else last
    if found is None:
        raise _unusable(folder, "is a folder without checkpoints", OTHER)
    return found


def _nearest(path: Path) -> str:
    names = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    found = difflib.get_close_matches(path.name, names, n=1, cutoff=0.5)
    return f"did you mean {path.parent / found[0]}?" if found else OTHER


def _read_safetensors(file: Path) -> tuple[dict[str, Tensor], int | None]:
    """The tensors, and the step that an archive of ours notes."""
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise _unusable(file, "needs the package safetensors", "install runner[safetensors]") from error
    try:
        with safe_open(file, framework="pt") as opened:
            names, step = opened.keys(), (opened.metadata() or {}).get("runner.step")
            return {name: opened.get_tensor(name) for name in names}, None if step is None else int(step)
    except SafetensorError as error:
        raise _unusable(file, f"cannot be read ({error})", OTHER) from error


def _read_torch(file: Path) -> Any:
    import torch

    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # what a broken pickle raises has no end
        code = re.search(r"GLOBAL (\S+)", str(error))
        if code is None:
            raise _unusable(file, "is not a file of torch, or not a whole one", OTHER) from error
        text = f"holds more than tensors ({code[1]}), which could run code when it is read"
        raise _unusable(file, text, "save its weights alone: torch.save(model.state_dict(), PATH)") from error


def _is_sealed(file: Path) -> bool:
    from runner.checkpoint import SEAL, SEAL_BYTES

    with file.open("rb") as opened:
        opened.seek(max(0, file.stat().st_size - SEAL_BYTES))
        return opened.read().startswith(SEAL)


def _read_ours(file: Path) -> WeightsFile:
    from runner import checkpoint

    try:
        content = checkpoint.read(file)
    except ValueError as error:
        raise _unusable(file, str(error).removeprefix(f"{file} "), OTHER) from error
    parts = content.get("parts", content)
    weights, averages = _state_dict(parts.get("task"), file), parts.get("averages", {})
    return WeightsFile(file, weights, content.get("step"), averages)


def _state_dict(content: Any, file: Path) -> dict[str, Tensor]:
    from torch import Tensor

    found = content
    if isinstance(content, dict):
        found = next((content[key] for key in NESTED if isinstance(content.get(key), dict)), content)
    if not isinstance(found, dict) or not found:
        text = f"holds no weights, but {'an empty' if found == {} else 'a'} {type(found).__name__}"
        raise _unusable(file, text, "give a file of a state_dict")
    for name, value in found.items():
        if not isinstance(value, Tensor):
            text = f"holds no state_dict: {name!r} is no tensor, but a {type(value).__name__}"
            raise _unusable(file, text, f"save one, alone or under {', '.join(map(repr, NESTED))}")
    return found


def _unusable(path: Path, text: str, remedy: str) -> UnusableWeights:
    return UnusableWeights(Problem("init_from", str(path), text, remedy))
