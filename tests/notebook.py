"""The smallest tracker there can be: lines of a file, and a second file that says that it is away."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runner.observers.outbox import Begin, End, Points
from runner.observers.sending import Rejected


class Notebook:
    """Appends what it is told to ``pages``; raises while ``<pages>.away`` is there, and for numbers called "odd"."""

    def __init__(self, *, folder: Path, pages: str) -> None:
        self.folder = folder
        self.pages = Path(pages)

    def begin(self, begin: Begin, memory: dict[str, Any]) -> None:
        memory["times"] = memory.get("times", 0) + 1
        self._write("begin", begin.run, begin.step, memory["times"])

    def points(self, points: Sequence[Points]) -> None:
        for some in points:
            self._write("points", some.kind, some.step, dict(some.values))

    def file(self, path: Path, name: str) -> None:
        self._write("file", name, path.stat().st_size)

    def end(self, end: End) -> None:
        self._write("end", end.state, end.step)

    def _write(self, *line: Any) -> None:
        random.random()  # as clients do
        if self.pages.with_suffix(".away").exists():
            raise ConnectionError("http://bob:hunter22@host is not there")
        if "odd" in str(line):
            raise Rejected("odd is no name")
        with self.pages.open("a") as file:
            file.write(json.dumps(line) + "\n")


def read(pages: Path) -> list[list[Any]]:
    return [json.loads(line) for line in pages.read_text().splitlines()] if pages.is_file() else []
