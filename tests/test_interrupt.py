"""Signals become a wish to stop."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from runner.interrupt import stops_on_signals
from runner.state import State


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_does_not_wait(number: signal.Signals) -> None:
    state = State()
    before = signal.getsignal(number)
    with stops_on_signals(state):
        os.kill(os.getpid(), number)
        assert state.stop == f"interrupted by {number.name}"
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_off_the_main_thread_nothing_is_touched() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[object] = []

    def work() -> None:
        with stops_on_signals(State()):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
