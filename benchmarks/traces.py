"""What a killed process leaves to be seen of where it was."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from runner.checkpoint import Unsound, read


@dataclass(frozen=True)
class Traces:
    """What the folder of a run shows."""

    step: int = 0  # of the newest sound checkpoint
    litter: frozenset[str] = frozenset()  # temporary files
    torn: frozenset[str] = frozenset()  # tables that end in half a line
    logged_bytes: int = 0
    state: str = ""  # nothing before there is a run

    @classmethod
    def of(cls, folder: Path) -> Traces:
        if not (folder / ".hydra" / "config.yaml").is_file():
            return cls()
        status = folder / "status.json"
        tables = [*folder.glob("*.csv"), *folder.glob("*.jsonl")]
        return cls(
            step=newest_step(folder),
            litter=frozenset(file.name for file in folder.rglob(".*.*") if file.is_file()),
            torn=frozenset(table.name for table in tables if not table.read_bytes().endswith(b"\n")),
            logged_bytes=logged_bytes(folder),
            state=json.loads(status.read_text())["state"] if status.is_file() else "starting",
        )

    def since(self, before: Traces) -> str:
        """Where the process was killed that found ``before`` and left this."""
        if not self.state:
            return "before there was a run"
        written = sorted((self.litter - before.litter) or self.torn)
        if written:
            return f"while {re.sub('[0-9]+', 'N', written[0])} was written"
        if self.state == "completed":
            return "after the end"
        if self.logged_bytes == before.logged_bytes:
            return "while it started"
        return "between two writes" if self.step else "before the first checkpoint"


def logged_bytes(folder: Path) -> int:
    """Changes as soon as a process has made a step."""
    steps = folder / "steps.csv"
    return steps.stat().st_size if steps.is_file() else 0


def newest_step(folder: Path) -> int:
    for name in ("last.pt", "previous.pt"):
        with contextlib.suppress(Unsound, FileNotFoundError):
            return int(read(folder / "checkpoints" / name)["step"])
    return 0
