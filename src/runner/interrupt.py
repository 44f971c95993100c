"""Ctrl-C and SIGTERM ask a run to stop after the step it is in."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from runner.state import State


@contextmanager
def stops_on_signals(state: State) -> Iterator[None]:
    """Inside, the first SIGINT or SIGTERM sets ``state.stop``; a second one does not wait.

    A no-op off the main thread, which alone receives signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _frame: FrameType | None) -> None:
        if state.stop:
            raise KeyboardInterrupt
        state.stop = f"interrupted by {signal.Signals(number).name}"

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
