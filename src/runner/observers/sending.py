"""The process that tells a tracker what stands in an outbox: ``python -m runner.observers.sending OUTBOX``.

It is a process of its own so that nothing of a tracker's client can touch training: neither its time nor Python's
random numbers, which such clients draw from, too. Free of torch.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from runner.lock import turn
from runner.observers.outbox import Begin, Delivery, End, File, Message, Points, messages

POLL_S = 0.5
LONGEST_PAUSE_S = 30.0
HURRIED_PAUSE_S = 1.0  # when the run waits for its end
ORPHAN_S = 30.0  # for what is left when the run's process is gone
POINTS_AT_ONCE = 100
SECRET = re.compile(r"PASSWORD|TOKEN|SECRET|API_KEY")


class Rejected(Exception):
    """The tracker understood, and will never take this: it is said and left out."""


class Tracker(Protocol):
    """A client of a tracker. What is told twice must count once: after a failure it is told again.

    Any error but ``Rejected`` means that the tracker is away.
    """

    def begin(self, begin: Begin, memory: dict[str, Any]) -> None:
        """A run starts or goes on. What is put into ``memory`` is there when it goes on, in another process."""

    def points(self, points: Sequence[Points]) -> None: ...

    def file(self, path: Path, name: str) -> None: ...

    def end(self, end: End) -> None: ...


def made(begin: Begin, folder: Path) -> Tracker:
    """The tracker that ``begin`` names, for the run in ``folder``."""
    module, _, name = begin.tracker.partition(":")
    tracker: Tracker = getattr(import_module(module), name)(folder=folder, **begin.settings)
    return tracker


class Sender:
    """Sends an outbox, in order, from where ``Delivery`` says. ``tell`` gets what a person should know, once each."""

    def __init__(
        self,
        outbox: Path,
        *,
        tell: Callable[[str], None],
        moved: Callable[[], None] = lambda: None,
        make: Callable[[Begin, Path], Tracker] = made,
    ) -> None:
        self.outbox = outbox
        self.ended = False  # the last message that was sent is an end
        self._folder = outbox.parent.parent
        self._tell, self._moved, self._make = tell, moved, make
        self._delivery = Delivery(outbox)
        self._delivery.save()
        self._tracker: Tracker | None = None
        self._begin: Begin | None = None
        self._said: set[str] = set()
        for message, end in messages(outbox):
            if end > self._delivery.sent_bytes:
                break
            self._heed(message)

    def send(self) -> bool:
        """Send what waits; whether nothing waits any more."""
        for batch, end in batches(self.outbox, self._delivery.sent_bytes):
            try:
                self._deliver(batch)
            except Rejected as error:
                self._once("refused", f"refused something, which is left out: {error}")
            except Exception as error:
                waits = f"what it misses waits in {self.outbox}"
                self._once("away", f"cannot be told ({reason(error)}); training goes on, {waits}")
                self._tracker = None  # made anew: its connection may be what is broken
                return False
            self._delivery.save(end)
            self._heed(batch[-1])
            self._moved()
        if "away" in self._said:
            self._once("back", "has been told all that it missed")
        return True

    def abandon(self) -> None:
        """The process of the run is gone, and has not said how the run ended."""
        if self._begin is not None and not self.ended:
            reason = "its process was killed"
            self._open().end(End("interrupted", self._begin.step, time.time_ns() // 1_000_000, reason))

    def _deliver(self, batch: Sequence[Message]) -> None:
        first = batch[0]
        if isinstance(first, Begin):
            self._begin, self._tracker = first, None
        tracker = self._open()
        if isinstance(first, Points):
            tracker.points([message for message in batch if isinstance(message, Points)])
        elif isinstance(first, File):
            self._file(tracker, first)
        elif isinstance(first, End):
            tracker.end(first)

    def _file(self, tracker: Tracker, file: File) -> None:
        path = self._folder / file.path
        if not path.is_file():
            raise Rejected(f"{path} is gone")
        tracker.file(path, file.path)

    def _open(self) -> Tracker:
        """The tracker, told of the run. One that does not take the run is away: nothing is left out for it."""
        if self._tracker is None:
            assert self._begin is not None, "an outbox begins with a beginning"
            tracker = self._make(self._begin, self._folder)
            try:
                tracker.begin(self._begin, self._delivery.memory)
            except Rejected as error:
                raise RuntimeError(str(error)) from error
            self._delivery.save()
            self._tracker = tracker
        return self._tracker

    def _heed(self, message: Message) -> None:
        self._begin = message if isinstance(message, Begin) else self._begin
        self.ended = isinstance(message, End)

    def _once(self, what: str, text: str) -> None:
        if what not in self._said:
            self._said.add(what)
            self._tell(f"{self.outbox.stem} {text}")


def batches(outbox: Path, after_bytes: int) -> Iterator[tuple[Sequence[Message], int]]:
    """What waits, with the number of bytes up to the end of each: points together, anything else alone."""
    points: list[Message] = []
    reached = after_bytes
    for message, end in messages(outbox, after_bytes=after_bytes):
        if points and (not isinstance(message, Points) or len(points) == POINTS_AT_ONCE):
            yield points, reached
            points = []
        if isinstance(message, Points):
            points.append(message)
        else:
            yield [message], end
        reached = end
    if points:
        yield points, reached


def reason(error: BaseException) -> str:
    """What went wrong in one short line, without what opens doors: passwords in addresses and in the environment."""
    text = " ".join(str(error).split()) or type(error).__name__
    if refused := re.search(r"\[Errno -?\d+\] ([^\"')]+)", text):  # at the end of a long chain of a client's own
        text = refused[1]
    text = re.sub(r"(?<=//)[^/@\s]+@", "***@", text)
    secrets = [value for name, value in os.environ.items() if SECRET.search(name) and len(value) > 3]
    for value in sorted(secrets, key=len, reverse=True):
        text = text.replace(value, "***")
    return text if len(text) <= 300 else f"{text[:120]} … {text[-170:]}"


def follow(sender: Sender, orders: int) -> bool:
    """Send until an end is sent, or what is left when nobody is there any more; whether all was sent.

    ``orders`` is a file descriptor: a byte means that the run waits for its end, its closing that the run is gone.
    """
    pause_s, hurried, gone_s = POLL_S, False, None
    while True:
        done = sender.send()
        if done and sender.ended:
            return True
        if gone_s is not None and (done or time.monotonic() - gone_s > ORPHAN_S):
            if done:
                sender.abandon()
            return done
        longest_s = HURRIED_PAUSE_S if hurried or gone_s is not None else LONGEST_PAUSE_S
        pause_s = POLL_S if done else min(2 * pause_s, longest_s)
        if gone_s is not None:
            time.sleep(pause_s)
        elif select.select([orders], [], [], pause_s)[0]:
            hurried = True
            gone_s = None if os.read(orders, 64) else time.monotonic()


def main(argv: Sequence[str]) -> int:
    """Send the outbox ``argv[0]``. On the standard output a JSON object a line: ``{"say": …}``, ``{"moved": true}``."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # they are for the run, which says how it ends
    words = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # a client may print: not to where it would be taken for ours

    def put(content: dict[str, Any]) -> None:
        try:
            print(json.dumps(content), file=words, flush=True)
        except BrokenPipeError:  # nobody is left to hear it
            os.dup2(os.open(os.devnull, os.O_WRONLY), words.fileno())

    outbox = Path(argv[0])
    with turn(outbox.with_name(f".{outbox.stem}.lock")):  # the sender of a killed run may still be at it
        sender = Sender(outbox, tell=lambda text: put({"say": text}), moved=lambda: put({"moved": True}))
        try:
            sent = follow(sender, 0)
        except Exception as error:
            put({"say": f"{outbox.stem} is told no more: {type(error).__name__}: {reason(error)}"})
            if os.environ.get("RUNNER_TRACEBACK"):
                raise
            sent = False
    return 0 if sent else 1


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(code)  # what a client leaves running must not keep the run waiting
