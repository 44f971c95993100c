"""Commands in this process: as a user types them, without the seconds of starting Python."""

from __future__ import annotations

import itertools
import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra

from runner.cli.main import main

DATA = [
    f"dataset.{key}" for key in ("train_size=8", "valid_size=4", "test_size=4", "height=8", "width=8", "channels=1")
]
SMALL = [
    "dataset=synthetic",
    *DATA,
    "model=mlp",
    "model.hidden=[4]",
    "metrics=[]",
    "~trainer.best.accuracy",
    "logger=[]",
    "scheduler=constant",
    "trainer.steps=2",
    "trainer.batch_size=4",
    "trainer.workers=0",
]
"""The smallest run there is: two steps of an MLP on 8 x 8 pixels, that nobody watches."""


@dataclass(frozen=True)
class Answer:
    """What a command left: its exit status and what it said."""

    status: int
    out: str
    err: str

    @property
    def messages(self) -> list[str]:
        """What it said on stderr, one entry a message."""
        return [line.removeprefix("runner: ") for line in self.err.splitlines() if line.startswith("runner: ")]

    @property
    def table(self) -> list[dict[str, str]]:
        """The rows of the table that it drew on stderr, by the names of the columns; wrapped cells in one piece."""
        rules = [number for number, line in enumerate(self.err.splitlines()) if set(line.strip()) == {"─"}]
        rows = [self.err.splitlines()[above + 1 : below] for above, below in itertools.pairwise(rules)]
        if not rows:
            return []
        starts = [found.start() for found in re.finditer(r"(?<=  )\S|(?<=^ )\S", rows[0][0])]
        cuts = [slice(*pair) for pair in itertools.pairwise([*starts, None])]
        read = [[" ".join(line[cut].strip() for line in row).strip() for cut in cuts] for row in rows]
        return [dict(zip(read[0], row, strict=True)) for row in read[1:]]


@dataclass(frozen=True)
class Terminal:
    """A folder to stand in, and commands to type there."""

    folder: Path
    capture: pytest.CaptureFixture[str]

    def runs(self, *arguments: str, small: bool = True) -> Answer:
        """The answer to ``python -m runner SMALL… ARGUMENTS…``. A sweep's jobs run in this process, too."""
        if "-m" in arguments and arguments[:1] not in (("resume",), ("reproduce",)):
            arguments += quick_sweep(arguments)
        GlobalHydra.instance().clear()  # one test's leftovers are no business of the next
        self.capture.readouterr()
        status = main([*(SMALL if small else []), *arguments])
        said = self.capture.readouterr()
        close_logs()
        return Answer(status, said.out, said.err)

    def trains(self, *arguments: str, small: bool = True) -> Answer:
        """As ``runs``, for a command that must complete."""
        answer = self.runs(*arguments, small=small)
        assert answer.status == 0, answer.err
        assert answer.err == ""
        return answer

    def left(self) -> list[str]:
        """Everything below the folder."""
        return sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*"))

    def manifest(self, run: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / run / "manifest.json").read_text())
        return content

    def status(self, run: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / run / "status.json").read_text())
        return content


def quick_sweep(arguments: Sequence[str]) -> tuple[str, ...]:
    """Without the seconds that a pool of processes and the pictures of a report take, unless they are asked for."""
    given = {argument.partition("=")[0] for argument in arguments}
    launcher = () if "hydra/launcher" in given else ("hydra/launcher=basic",)
    report = () if {"hydra/sweeper", "hydra.sweeper.report"} & given else ("hydra.sweeper.report=false",)
    return (*launcher, *report)


def close_logs() -> None:
    """Close what a job's logging opened: the process of a real command ends here."""
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, logging.FileHandler)]:
        root.removeHandler(handler)
        handler.close()
