"""Where a process touches the disk, one call after the other: to die at any of them."""

from __future__ import annotations

import builtins
import io
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

CALLS = ("replace", "link", "fsync", "unlink", "mkdir")


class Boundaries:
    """Watches what this process does to files below ``folder``, from ``watch`` on.

    ``told`` gets a line for each call, before it is made. At the ``last``-th call, counted from 0, the process kills
    itself; with ``torn``, after half of what was to be written.
    """

    def __init__(self, folder: Path, *, told: Path | None = None, last: int | None = None, torn: bool = False) -> None:
        self.folder = folder
        self.told = None if told is None else told.open("w")
        self.last = last
        self.torn = torn
        self.count = 0
        self.pid = 0

    def watch(self) -> None:
        """Take the place of the calls, for as long as this process lives."""
        self.pid = os.getpid()  # workers are forked, and count for nothing
        for name in CALLS:
            setattr(os, name, self._watched(name, getattr(os, name)))
        builtins.open = io.open = self._opener(io.open)

    def reached(self, call: str, path: Path, half: Callable[[], object] = lambda: None) -> None:
        if os.getpid() != self.pid or not path.is_relative_to(self.folder):
            return
        if self.told is not None:
            self.told.write(f"{call} {path.relative_to(self.folder)}\n")
            self.told.flush()
        if self.count == self.last:
            if self.torn:
                half()
            os.kill(self.pid, signal.SIGKILL)
        self.count += 1

    def _watched(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(what: Any, *args: Any, **options: Any) -> Any:
            path = Path(f"/proc/self/fd/{what}" if isinstance(what, int) else what)
            self.reached(name, path.readlink() if isinstance(what, int) else path)
            return real(what, *args, **options)

        return call

    def _opener(self, real: Callable[..., Any]) -> Callable[..., Any]:
        boundaries = self

        class Raw(io.FileIO):
            def write(self, data: Any) -> int:
                block = bytes(data)
                half = super().write
                boundaries.reached("write", Path(str(self.name)), lambda: half(block[: len(block) // 2]))
                return super().write(block)

        def opened(file: Any, mode: str = "r", buffering: int = -1, *args: Any, **options: Any) -> IO[Any]:
            if not set(mode) & set("wax+") or not isinstance(file, (str, os.PathLike)):
                return real(file, mode, buffering, *args, **options)  # type: ignore[no-any-return]
            raw = Raw(file, mode.replace("b", "").replace("t", ""))
            buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
            return buffered if "b" in mode else io.TextIOWrapper(buffered, *args, **options)

        return opened
