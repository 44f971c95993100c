"""Ctrl-C and SIGTERM, noted until somebody has time for them. Free of torch."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Sequence
from types import FrameType

from runner.interrupt import handled_by

PATIENCE = 3  # signals, after which nothing is waited for


class Signals:
    """The signals that came in, by name: the first asks jobs to save and stop, the next ones kill them.

    ``beside`` has those that reach this process on another way, all of them each time it is called.
    """

    def __init__(self, beside: Callable[[], Sequence[str]] = tuple) -> None:
        self._own: list[str] = []
        self._beside = beside
        self._heeded = 0

    def noted(self) -> contextlib.AbstractContextManager[None]:
        """Inside, SIGINT and SIGTERM are noted; after PATIENCE of them ``KeyboardInterrupt`` is raised.

        A no-op off the main thread.
        """
        return handled_by(self._note)

    def add(self, name: str) -> None:
        self._own.append(name)

    @property
    def names(self) -> list[str]:
        return [*self._own, *self._beside()]

    def unheeded(self) -> list[str]:
        """What came in since this was asked last."""
        names = self.names
        new = names[self._heeded :]
        self._heeded = len(names)
        return new

    @property
    def came(self) -> bool:
        return bool(self._heeded or self._own)

    @property
    def impatient(self) -> bool:
        return len(self._own) > PATIENCE

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.add(signal.Signals(number).name)
        if self.impatient:
            raise KeyboardInterrupt
