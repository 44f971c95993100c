"""Ctrl-C and SIGTERM ask a run to stop after the step it is in. Free of torch."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runner.ranks import Stoppable

STOPS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Inside, ``handler`` gets SIGINT and SIGTERM. A no-op off the main thread, which alone receives signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in STOPS}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextmanager
def stops_on_signals(state: Stoppable, *, again_after_s: float = 0.0) -> Iterator[None]:
    """Inside, the first SIGINT or SIGTERM sets ``state.stop``; a second one does not wait.

    What comes within ``again_after_s`` of the first is the same request: torchrun passes on what a terminal has sent to
    all processes already. A no-op off the main thread.
    """
    asked_s = 0.0

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal asked_s
        if state.stop:
            if time.monotonic() - asked_s < again_after_s:
                return
            raise KeyboardInterrupt
        asked_s = time.monotonic()
        state.stop = f"interrupted by {signal.Signals(number).name}"

    with handled_by(stop):
        yield
