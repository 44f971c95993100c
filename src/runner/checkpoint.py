"""Everything with memory, by name, in one file that appears whole or not at all and knows its own digest."""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import pickle
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

import torch

from runner.best_files import BestFiles, Ranking
from runner.durable import sync_folder
from runner.ranks import Alone, Ranked

log = logging.getLogger(__name__)

FORMAT = 3
SEAL = b"runner:sha256:"  # with 64 hexadecimal digits after it, ends a file; what comes before is a plain torch file
SEAL_BYTES = len(SEAL) + 64


class Stateful(Protocol):
    """Something with memory: a module, an update, the state of the run."""

    def state_dict(self) -> Any: ...

    def load_state_dict(self, state: Any, /) -> Any: ...


class Unsound(ValueError):
    """A file that is no checkpoint, not a whole one, or not the one that was written."""


class NotSaved(RuntimeError):
    """A checkpoint could not be written. Those that were there before are intact."""


class _Sealing:
    """A file that takes the digest of what passes through."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()


def write_whole(path: Path, content: Mapping[str, Any], *, before: Path | None = None) -> None:
    """Write by temporary file, fsync and rename, so that ``path`` is always the old file or the new one.

    The old file goes to ``before``, if that is given; between the two renames only ``before`` is there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            _write_sealed(file, content)
            os.fsync(file.fileno())
        if before is not None and path.is_file():
            path.replace(before)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def _write_sealed(file: BinaryIO, content: Mapping[str, Any]) -> None:
    sealing = _Sealing(file)
    try:
        torch.save(dict(content), cast(BinaryIO, sealing))
    except RuntimeError as error:  # what torch makes of an error, or a second Ctrl-C, while the file was written
        raise (error.__context__ or error) from None
    file.write(SEAL + sealing.digest.hexdigest().encode())
    file.flush()


def verify(path: Path) -> None:
    """Raises ``Unsound`` unless each byte of the file is as it was written."""
    left = path.stat().st_size - SEAL_BYTES
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while left > 0 and (block := file.read(min(left, 1 << 20))):
            digest.update(block)
            left -= len(block)
        seal = file.read()
    if not seal.startswith(SEAL):
        raise Unsound(f"{path} is not a checkpoint, or not a whole one")
    if seal != SEAL + digest.hexdigest().encode():
        raise Unsound(f"{path} is damaged: it is not what was written")


def read(path: Path) -> dict[str, Any]:
    """The content of a checkpoint, on the CPU. Raises ``Unsound`` for a file that is not one of ours, or damaged.

    Only tensors and plain values are loaded: a file that would run code is refused.
    """
    verify(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise Unsound(f"{path} holds more than tensors and plain values, and could run code; not loaded") from error
    except (EOFError, RuntimeError) as error:
        raise Unsound(f"{path} is not a checkpoint") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise Unsound(f"{path} is not a checkpoint of this version (format {FORMAT})")
    return content


class Checkpoints(Protocol):
    """Where the state of a run is kept."""

    def save(self, step: int) -> None: ...

    def is_due(self) -> bool: ...

    def save_best(self, step: int, improved: Mapping[str, float]) -> None: ...


class NoCheckpoints:
    """Keeps nothing: stand-alone use."""

    def save(self, step: int) -> None: ...

    def is_due(self) -> bool:
        return False

    def save_best(self, step: int, improved: Mapping[str, float]) -> None: ...


class FolderCheckpoints:
    """``last.pt`` with all of ``parts``, ``previous.pt`` from before it, and weights only in ``BestFiles``.

    ``parts`` maps a name to each thing with memory; "task" is the one whose weights are kept in the best files.
    ``identity`` holds, by key, what the numbers of the run depend on: a checkpoint with another one is refused.
    ``save_every_s``: seconds after the last checkpoint at which the next is due, whatever the plan says.
    ``ranked`` gives the steps of the best evaluations, which are kept.
    ``settle`` is called before a state is written: what goes with it must be on the disk by then.
    Of several ``ranks`` the first one writes and reads.
    """

    def __init__(
        self,
        folder: Path,
        parts: Mapping[str, Stateful],
        *,
        identity: Mapping[str, Any] | None = None,
        save_every_s: float | None = None,
        ranked: Callable[[], Ranking] = dict,
        settle: Callable[[], None] = lambda: None,
        ranks: Ranked | None = None,
    ) -> None:
        self.ranks = ranks or Alone()
        self.settle = settle
        self.folder = folder
        self.best = BestFiles(folder, ranked)
        self.parts = parts
        self.identity = dict(identity or {})
        self.save_every_s = save_every_s
        self.saved_step: int | None = None
        self.saved_at = time.monotonic()

    @property
    def last(self) -> Path:
        return self.folder / "last.pt"

    @property
    def previous(self) -> Path:
        return self.folder / "previous.pt"

    def is_due(self) -> bool:
        return self.ranks.due(self._time_is_up)

    def _time_is_up(self) -> bool:
        return self.save_every_s is not None and time.monotonic() - self.saved_at >= self.save_every_s

    def save(self, step: int) -> None:
        """Write ``last.pt``, unless it already holds this step. Raises ``NotSaved`` when it cannot be written."""
        if step == self.saved_step:
            return
        self.settle()
        states = {name: part.state_dict() for name, part in self.parts.items()}
        content = {"format": FORMAT, "step": step, "identity": self.identity, "parts": states}
        self._write(self.last, step, functools.partial(write_whole, self.last, content, before=self.previous))
        self.saved_step = step
        self.saved_at = time.monotonic()
        if self.ranks.rank == 0:
            self.best.saved()

    def save_best(self, step: int, improved: Mapping[str, float]) -> None:
        """Keep the weights for each metric of ``improved``, which ranks them. Raises ``NotSaved`` when it cannot."""
        if not improved:
            return
        content = {
            "format": FORMAT,
            "step": step,
            "metrics": dict(improved),
            "task": self.parts["task"].state_dict(),
        }
        write = functools.partial(write_whole, content=content)
        for metric in improved:
            self._write(self.best.path(metric), step, functools.partial(self.best.add, metric, step, write=write))

    def _write(self, path: Path, step: int, write: Callable[[], None]) -> None:
        if self.ranks.rank > 0:
            return
        try:
            write()
        except OSError as error:
            text = f"{path} could not be written at step {step}: {error.strerror or error}"
            raise NotSaved(f"{text}; {self.kept()}") from error

    def kept(self) -> str:
        """What there is to go on from, in words."""
        found = [path for path in (self.last, self.previous) if path.is_file()]
        if not found:
            return "no checkpoint was written before"
        step = "" if self.saved_step is None else f", of step {self.saved_step}"
        return f"the last good state is {found[0]}{step}"

    def restore(self) -> int | None:
        """Put every part where the newest sound checkpoint says; its step, or None when none was ever written.

        A damaged file is said, set aside as ``<name>.damaged`` and the one before it taken. Raises ``Unsound``
        when there are only damaged ones, and ``ValueError`` for a checkpoint of another configuration.
        """
        content = self.ranks.first(self._newest)
        if content is not None:
            self._load(content)
        if self.ranks.rank == 0:
            self._tidy()
        return self.saved_step

    def _newest(self) -> dict[str, Any] | None:
        damaged: list[Path] = []
        for path in (self.last, self.previous):
            if not path.is_file():
                continue
            try:
                content = read(path)
            except Unsound as error:
                log.warning("%s", error)
                damaged.append(path)
                continue
            self._require_same(path, content)
            for bad in damaged:
                bad.replace(bad.with_name(f"{bad.name}.damaged"))
                log.warning("%s was set aside; going on from %s, step %d", bad.name, path, content["step"])
            return content
        if damaged:
            raise Unsound(f"no checkpoint of {self.folder} is sound: {', '.join(path.name for path in damaged)}")
        return None

    def _require_same(self, path: Path, content: Mapping[str, Any]) -> None:
        differing = different_identity(content.get("identity", {}), self.identity)
        if differing:
            raise ValueError(f"{path} belongs to another configuration: {'; '.join(differing)}")
        unmatched = set(self.parts) ^ set(content["parts"])
        if unmatched:
            raise ValueError(f"{path} belongs to another run: {', '.join(sorted(unmatched))} do not match")

    def _load(self, content: Mapping[str, Any]) -> None:
        for name, part in self.parts.items():
            part.load_state_dict(content["parts"][name])
        self.saved_step = int(content["step"])

    def _tidy(self) -> None:
        """Take away what a killed process left behind, and say which of the best files are damaged."""
        for litter in self.folder.glob(".*.pt.*"):
            litter.unlink()
        steps: dict[Path, int] = {}
        for best in self.folder.glob("best_*.pt"):
            try:
                steps[best] = read(best)["step"]
            except Unsound as error:
                log.warning("%s; it is written again when a better score comes", error)
        self.best.restored(steps)


def different_identity(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """``key: theirs there, ours here`` for each key in which two identities differ."""
    return [
        f"{key}: {theirs.get(key, 'absent')} there, {ours.get(key, 'absent')} here"
        for key in dict.fromkeys([*theirs, *ours])
        if theirs.get(key, "absent") != ours.get(key, "absent")
    ]
