"""What a person sees of a sweep while it runs: a live table on a terminal, plain lines elsewhere. Free of torch."""

from __future__ import annotations

import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol, TextIO

from runner.sweep.ending import Ending
from runner.sweep.process import Progress

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

REFRESH_EVERY_S = 0.25
SHOWN_ENDED = 5
COLOURS = {"completed": "green", "failed": "red", "interrupted": "yellow", "training": "cyan", "starting": "dim"}


class View(Protocol):
    """Is told what happens to the jobs of a sweep, by name."""

    def started(self, name: str) -> None: ...

    def progressed(self, name: str, progress: Progress) -> None: ...

    def ended(self, name: str, ending: Ending) -> None: ...

    def note(self, text: str) -> None: ...

    def refresh(self) -> None: ...

    def close(self) -> None: ...


def view_of(total: int, stream: TextIO | None = None) -> View:
    """The view for a sweep of ``total`` jobs on ``stream``, which is the standard output unless given."""
    stream = stream or sys.stdout
    return LiveTable(total, stream) if stream.isatty() else PlainLines(total, stream)


@dataclass
class Row:
    """What is known of one job that was started."""

    started_s: float = field(default_factory=time.monotonic)
    progress: Progress | None = None
    ending: Ending | None = None
    took_s: float = 0.0

    @property
    def state(self) -> str:
        if self.ending is not None:
            return self.ending.state
        return "starting" if self.progress is None else "training"

    @property
    def epoch(self) -> str:
        at = self.progress
        return "" if at is None else f"{at.epoch:.3g}/{at.total_epochs}"

    @property
    def metric(self) -> str:
        at = self.progress
        return "" if at is None or at.value is None else f"{at.metric} {at.value:.4g}"

    @property
    def time(self) -> str:
        """Left while it trains, taken when it has ended."""
        if self.ending is not None:
            return f"took {duration(self.took_s)}"
        left_s = None if self.progress is None else self.progress.remaining_s
        return "" if left_s is None else f"{duration(left_s)} left"


class Tally:
    """The jobs of a sweep, and how many are in which state."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.running: dict[str, Row] = {}
        self.last_ended: deque[tuple[str, Row]] = deque(maxlen=SHOWN_ENDED)
        self.counts: Counter[str] = Counter()

    @property
    def started(self) -> int:
        return len(self.running) + self.counts.total()

    def end(self, name: str, ending: Ending) -> Row:
        row = self.running.pop(name)
        row.ending, row.took_s = ending, time.monotonic() - row.started_s
        self.last_ended.append((name, row))
        self.counts[ending.state] += 1
        return row

    def line(self) -> str:
        """``12 of 40 completed, 1 failed, 4 running, 23 waiting``."""
        rest = {"failed": self.counts["failed"], "interrupted": self.counts["interrupted"]}
        rest |= {"running": len(self.running), "waiting": self.total - self.started}
        return ", ".join(
            [f"{self.counts['completed']} of {self.total} completed", *(f"{n} {what}" for what, n in rest.items() if n)]
        )


class PlainLines:
    """A line for each job that starts or ends, flushed at once."""

    def __init__(self, total: int, stream: TextIO) -> None:
        self._tally = Tally(total)
        self._stream = stream

    def started(self, name: str) -> None:
        self._tally.running[name] = Row()
        self.note(f"[{self._tally.started}/{self._tally.total}] {name} started")

    def progressed(self, name: str, progress: Progress) -> None:
        self._tally.running[name].progress = progress

    def ended(self, name: str, ending: Ending) -> None:
        row = self._tally.end(name, ending)
        self.note(f"{ended_line(name, row)} ({self._tally.line()})")

    def note(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def refresh(self) -> None: ...

    def close(self) -> None: ...


class LiveTable:
    """A table of the jobs that run and of those that ended last, drawn at most four times a second, without a thread.

    What failed stays above it.
    """

    def __init__(self, total: int, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        from rich.console import Console
        from rich.live import Live

        self._tally = Tally(total)
        self._clock = clock
        self._drawn_s = -REFRESH_EVERY_S
        self._live: Live = Live(console=Console(file=stream), auto_refresh=False, transient=True)
        self._live.start()

    def started(self, name: str) -> None:
        self._tally.running[name] = Row()

    def progressed(self, name: str, progress: Progress) -> None:
        self._tally.running[name].progress = progress

    def ended(self, name: str, ending: Ending) -> None:
        row = self._tally.end(name, ending)
        if ending.state == "failed":
            self.note(ended_line(name, row))

    def note(self, text: str) -> None:
        self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def refresh(self) -> None:
        if self._clock() - self._drawn_s >= REFRESH_EVERY_S:
            self._drawn_s = self._clock()
            self._live.update(table(self._tally), refresh=True)

    def close(self) -> None:
        self._live.update(table(self._tally), refresh=True)
        self._live.stop()


def ended_line(name: str, row: Row) -> str:
    """``vgg16__0 completed in 0:01:23: test/accuracy 0.93``; a failure is written in capitals, with its cause."""
    ending = row.ending
    assert ending is not None, "it has ended"
    said = scores(ending.returned) if ending.state == "completed" else ending.cause
    state = "FAILED" if ending.state == "failed" else ending.state
    return f"{name} {state} after {duration(row.took_s)}{': ' * bool(said)}{said}"


def scores(returned: object) -> str:
    if not isinstance(returned, Mapping):
        return ""
    return "  ".join(f"{name} {value:.4g}" for name, value in returned.items() if isinstance(value, float))


def duration(seconds: float) -> str:
    """``0:01:23``."""
    return str(timedelta(seconds=round(seconds)))


def table(tally: Tally) -> RenderableType:
    """Running jobs, those that ended last, and the counts."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("job", "state", "epoch", "metric", "time"):
        shown.add_column(column, no_wrap=column != "metric")
    for name, row in [*tally.last_ended, *tally.running.items()]:
        state = Text(row.state, style=COLOURS.get(row.state, ""))
        shown.add_row(Text(name), state, row.epoch, Text(row.metric), row.time)
    return Group(shown, Text(tally.line(), style="bold"))
