"""What a tracker is to be told, as lines of a file in the run's folder: written first, sent later. Free of torch."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

from runner.durable import appearing

FOLDER = "tracking"
MEASURED = ("samples_per_s", "memory_gib")


@dataclass(frozen=True)
class Begin:
    """A run starts, or goes on after ``step``."""

    tracker: str  # "module:class" of the ``Tracker``, which is made with ``settings``
    settings: Mapping[str, Any]
    run: str  # its name
    params: Mapping[str, Any]  # the configuration, flat: {"optimizer.lr": 0.1}
    step: int
    time_ms: int  # since 1970, as of all messages
    facts: Mapping[str, str] = field(default_factory=dict)  # of the manifest: {"code.commit": …}
    in_sweep: bool = False  # a job of the sweep whose folder is the parent of the run's


@dataclass(frozen=True)
class Points:
    """Numbers measured after ``step`` steps. ``kind``: logged, evaluated, final."""

    kind: str
    step: int
    time_ms: int
    values: Mapping[str, float]

    def numbers(self) -> str:
        """What does not depend on the clock and the machine, to the bit."""
        return json.dumps({name: value for name, value in self.values.items() if name not in MEASURED})


@dataclass(frozen=True)
class File:
    """A file of the run's folder, by its path in there; what it holds when it is sent is what is sent."""

    path: str


@dataclass(frozen=True)
class End:
    """A run ended. ``state`` is one of completed, interrupted, failed."""

    state: str
    step: int
    time_ms: int
    reason: str = ""


Message = Begin | Points | File | End
TYPES: Mapping[str, type[Any]] = {kind.__name__.lower(): kind for kind in (Begin, Points, File, End)}


class Outbox:
    """Appends messages to ``path``, for a run that starts, or goes on after ``step``.

    Points that a run which was killed has told before, after its last checkpoint, are left out when they come again:
    one that goes on computes the same numbers to the bit. Others are told, as those of another budget are.
    """

    def __init__(self, path: Path, *, step: int = 0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._told: dict[tuple[str, int], str] = {}  # the numbers, by their kind and step, from this step on
        whole = 0
        for message, end in messages(path):
            if isinstance(message, Points) and message.step >= step:
                self._told[message.kind, message.step] = message.numbers()
            whole = end
        self._file: TextIO = path.open("a", encoding="utf-8")
        self._file.truncate(whole)  # of a killed run the last line may be cut short

    def put(self, message: Message) -> None:
        """On its way to the disk when the call returns."""
        if isinstance(message, Points) and self._told.get((message.kind, message.step)) == message.numbers():
            return
        kind = type(message).__name__.lower()
        self._file.write(json.dumps({"type": kind, **asdict(message)}, default=str) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def messages(path: Path, *, after_bytes: int = 0) -> Iterator[tuple[Message, int]]:
    """Each whole line of the outbox from ``after_bytes`` on, with the number of bytes up to its end."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        file.seek(after_bytes)
        end = after_bytes
        for line in file:
            if not line.endswith(b"\n"):
                return
            end += len(line)
            content = json.loads(line)
            yield TYPES[content.pop("type")](**content), end


class Delivery:
    """How far an outbox is sent, ``<name>.json`` beside it, and what the tracker wants to remember of the run.

    ``memory`` begins with a ``key`` that no other run has.
    """

    def __init__(self, outbox: Path) -> None:
        self.path = outbox.with_suffix(".json")
        content = json.loads(self.path.read_bytes()) if self.path.is_file() else {}
        self.sent_bytes = int(content.pop("sent_bytes", 0))
        self.memory: dict[str, Any] = content or {"key": uuid.uuid4().hex}

    def save(self, sent_bytes: int | None = None) -> None:
        """Everything up to ``sent_bytes`` has arrived; None leaves that as it is."""
        self.sent_bytes = self.sent_bytes if sent_bytes is None else sent_bytes
        replace_json(self.path, {"sent_bytes": self.sent_bytes, **self.memory})


def waiting(outbox: Path) -> int:
    """How many messages of it are not sent."""
    return sum(1 for _ in messages(outbox, after_bytes=Delivery(outbox).sent_bytes))


def replace_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a new ``path`` that appears whole or not at all."""
    with appearing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
