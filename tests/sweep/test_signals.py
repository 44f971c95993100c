"""Real signals to this process."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from runner.sweep.signals import PATIENCE, Signals


def test_signals_wait_until_somebody_asks() -> None:
    signals, before = Signals(), signal.getsignal(signal.SIGINT)
    with signals.noted():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.unheeded() == ["SIGINT", "SIGTERM"]
        assert signals.unheeded() == []
    assert signals.came
    assert signal.getsignal(signal.SIGINT) is before


def test_patience_ends() -> None:
    signals = Signals()
    with signals.noted():
        for _ in range(PATIENCE):
            os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signals.impatient


def test_what_comes_on_another_way_counts_too() -> None:
    beside: list[str] = []
    signals = Signals(beside=lambda: beside)
    assert not signals.came
    beside.append("SIGINT")
    assert signals.unheeded() == ["SIGINT"]
    signals.add("the cluster")
    assert len(signals.unheeded()) == 1
    assert signals.came


def test_other_threads_note_nothing_and_break_nothing() -> None:
    def note() -> None:
        with signals.noted():
            done.append(True)

    signals, done = Signals(), list[bool]()
    thread = threading.Thread(target=note)
    thread.start()
    thread.join()
    assert done
