"""Which file of a run or an archive holds the weights that are meant. Torch is imported only to read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from runner import checksums, weights_file
from runner.problem import Refused
from runner.weights_file import SUFFIXES, UnusableWeights, WeightsFile

if TYPE_CHECKING:
    from torch import Tensor

LAST = "last"
DESCRIPTION = ("manifest.json", ".hydra/config.yaml", ".hydra/hydra.yaml")  # what a model is rebuilt from
RECORDS = (*DESCRIPTION, "status.json", "history.csv", "digests.jsonl")  # what is told of a run, too


def checkpoints_of(folder: Path) -> list[Path]:
    """The files of weights of a run or an archive: ``last`` first, then the best ones; ``previous.pt`` behind them."""
    found = [file for file in sorted((folder / "checkpoints").glob("*")) if file.suffix in SUFFIXES]
    return sorted((file for file in found if not file.name.startswith(".")), key=_rank)


def _rank(file: Path) -> int:
    return {LAST: 0, "previous": 2}.get(file.stem, 1)


def checkpoint_file(folder: Path, name: str) -> Path:
    """``last``, ``best_accuracy``, or the path of a file. Raises ``Refused`` where there is none."""
    there = checkpoints_of(folder)
    for file in there:
        if name in (file.stem, file.name):
            return file
    given = Path(name).expanduser()
    if given.is_file():
        return given
    choice = ", ".join(file.stem for file in there)
    remedy = f"it has {choice}" if choice else "it has no checkpoints"
    raise Refused([f"checkpoint={name}: {folder} has no such checkpoint, nor is it a file; {remedy}"])


def weights_of(folder: Path, name: str = LAST) -> WeightsFile:
    """The weights under ``name`` (see ``checkpoint_file``), on the CPU, checked byte by byte where a digest is known.

    Raises ``Refused`` for a file that is missing, damaged or holds no weights.
    """
    refuse_damaged(folder)
    return read(checkpoint_file(folder, name))


def read(file: Path) -> WeightsFile:
    """The weights of a file as its run evaluated them: their moving averages, where it made any. Raises ``Refused``."""
    try:
        found = weights_file.read(file)
    except UnusableWeights as error:
        raise Refused([of_checkpoint(error)]) from error
    return replace(found, tensors=evaluated(found.tensors, found.averages), averages={})


def evaluated(tensors: Mapping[str, Tensor], averages: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``tensors``, the averages instead of those that have any: one that goes by several names has its average once."""
    by_place = {tensors[name].data_ptr(): average for name, average in averages.items() if tensors[name].numel()}
    return {name: averages.get(name, by_place.get(tensor.data_ptr(), tensor)) for name, tensor in tensors.items()}


def refuse_damaged(folder: Path, names: Sequence[str] = DESCRIPTION) -> None:
    """Of an archive: raises ``Refused`` when one of the files ``names`` is not as noted. Weights are, when read."""
    found = checksums.damaged(folder, [folder / name for name in names])
    if found:
        raise Refused([f"{text}; restore it from a copy" for text in found])


def of_checkpoint(error: UnusableWeights) -> str:
    """Its message, under the name of the setting that was given here."""
    return replace(error.problem, key="checkpoint", remedy="choose another one: checkpoint=<name or path>").line()
