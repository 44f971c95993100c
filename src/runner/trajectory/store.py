"""How recorded weights lie on the disk: one file of records of the same size, or a file of safetensors a snapshot."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import torch
from torch import Tensor

from runner.durable import appearing, sync_folder
from runner.trajectory.place import INDEX, index_in

RECORDS = "records.bin"
VERSION = 1
STEP = struct.Struct("<q")  # opens each record
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
FORMATS = ("records", "safetensors")


@dataclass(frozen=True)
class Layout:
    """Where in a snapshot of ``values`` numbers each tensor lies: they follow each other, each in row-major order."""

    shapes: Mapping[str, tuple[int, ...]]
    dtype: str  # one of DTYPES
    format: str = "records"  # one of FORMATS

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], *, dtype: str, format: str) -> Layout:
        return cls({name: tuple(tensor.shape) for name, tensor in tensors.items()}, dtype, format)

    @property
    def places(self) -> dict[str, slice]:
        """Of each tensor, in numbers."""
        found, begin = {}, 0
        for name, shape in self.shapes.items():
            end = begin + torch.Size(shape).numel()
            found[name], begin = slice(begin, end), end
        return found

    @property
    def values(self) -> int:
        return sum(torch.Size(shape).numel() for shape in self.shapes.values())

    @property
    def record_bytes(self) -> int:
        return STEP.size + self.values * DTYPES[self.dtype].itemsize

    def views(self, flat: Tensor) -> dict[str, Tensor]:
        """The tensors in ``flat`` (…, values), each (…, *shape), without a copy."""
        places, front = self.places, flat.shape[:-1]
        return {name: flat[..., places[name]].view(*front, *shape) for name, shape in self.shapes.items()}

    def text(self) -> str:
        """As ``index.json`` has it."""
        places = self.places
        tensors = [
            {"name": name, "shape": list(shape), "offset": places[name].start} for name, shape in self.shapes.items()
        ]
        facts = {"version": VERSION, "format": self.format, "dtype": self.dtype, "values": self.values}
        return json.dumps({**facts, "tensors": tensors}, indent=1) + "\n"

    @classmethod
    def read(cls, folder: Path) -> Layout:
        """That of the trajectory in ``folder``. Raises ``ValueError`` where there is none, or a damaged one."""
        path = index_in(folder)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            version = content["version"]
            shapes = {entry["name"]: tuple(entry["shape"]) for entry in content["tensors"]}
            layout = cls(shapes, content["dtype"], content["format"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is damaged: {type(error).__name__}: {error}") from error
        if version != VERSION or layout.dtype not in DTYPES or layout.format not in FORMATS:
            raise ValueError(f"{path} is of version {version}, which this program does not know (it knows {VERSION})")
        return layout


class Store(Protocol):
    """Where snapshots go, in the order of their steps. ``steps`` are those that it held when it was opened."""

    steps: list[int]

    def append(self, step: int, flat: Tensor) -> None: ...

    def settle(self) -> None:
        """Wait until all of it is on the disk."""
        ...

    def close(self) -> None: ...


def open_store(folder: Path, layout: Layout, *, last_step: int) -> Store:
    """The store in ``folder``, cut to the snapshots up to ``last_step``; with 0 it starts anew.

    Raises ``ValueError`` for one of other tensors.
    """
    folder.mkdir(exist_ok=True)
    index, text = folder / INDEX, layout.text()
    if last_step and index.is_file() and index.read_text(encoding="utf-8") != text:
        raise ValueError(
            f"{index} describes other tensors than this run records; move {folder} away to go on without it"
        )
    kind = RecordFile if layout.format == "records" else SafetensorsFolder
    store: Store = kind(folder, layout, last_step=last_step)
    with appearing(index) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return store


class RecordFile:
    """``records.bin``: records of one size, the step (8 bytes, little-endian) and then the numbers."""

    def __init__(self, folder: Path, layout: Layout, *, last_step: int) -> None:
        self.path = folder / RECORDS
        self.layout = layout
        self.steps = [step for step in steps_of_records(self.path, layout) if step <= last_step] if last_step else []
        self._file: BinaryIO = self.path.open("ab", buffering=0)
        self._file.truncate(len(self.steps) * layout.record_bytes)  # also what a kill left of half a record

    def append(self, step: int, flat: Tensor) -> None:
        """``flat`` (values,) is on the host and of the layout's dtype."""
        try:
            _write(self._file, STEP.pack(step))
            _write(self._file, flat.view(torch.uint8).numpy().data)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error

    def settle(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def _write(file: BinaryIO, content: bytes | memoryview) -> None:
    """All of it: the system takes at most 2 GiB at once."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


def steps_of_records(path: Path, layout: Layout) -> list[int]:
    """The steps of all whole records, read without the numbers. Raises ``ValueError`` for what are no records."""
    if not path.is_file():
        return []
    steps = []
    with path.open("rb") as file:
        for start in range(0, path.stat().st_size - layout.record_bytes + 1, layout.record_bytes):
            file.seek(start)
            steps.append(int(STEP.unpack(file.read(STEP.size))[0]))
    if steps != sorted(set(steps)) or (steps and steps[0] < 0):
        raise ValueError(f"{path} is damaged: its steps do not follow each other; move the file away to go on")
    return steps


class SafetensorsFolder:
    """``step_<n>.safetensors``: one file a snapshot, which appears whole."""

    def __init__(self, folder: Path, layout: Layout, *, last_step: int) -> None:
        self.folder = folder
        self.layout = layout
        files = files_of_steps(folder)
        self.steps = [step for step in files if step <= last_step] if last_step else []
        for stale in (*(files[step] for step in files.keys() - set(self.steps)), *folder.glob(".step_*.new")):
            stale.unlink()

    def append(self, step: int, flat: Tensor) -> None:
        from safetensors.torch import save_file

        with appearing(self.folder / file_of_step(step)) as temporary:
            save_file(self.layout.views(flat), temporary, metadata={"runner.step": str(step)})
            shutil.copymode(self.folder / INDEX, temporary)  # safetensors lets nobody but the owner read
            with temporary.open("rb") as file:
                os.fsync(file.fileno())

    def settle(self) -> None:
        sync_folder(self.folder)

    def close(self) -> None: ...


def file_of_step(step: int) -> str:
    return f"step_{step:09d}.safetensors"


def files_of_steps(folder: Path) -> dict[int, Path]:
    return {int(file.stem.removeprefix("step_")): file for file in sorted(folder.glob("step_*.safetensors"))}


def missing(steps: Sequence[int], due: Sequence[int]) -> list[int]:
    """The steps that were ``due`` and are not there."""
    return sorted(set(due) - set(steps))
