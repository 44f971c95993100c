"""A terminal to type commands in."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli.terminal import Terminal, close_logs
from hydra.core.global_hydra import GlobalHydra
from hydra.core.singleton import Singleton


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """Stands in an empty folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("RUNNER_TRACEBACK", "COLUMNS"):  # pytest's workers set the width of a terminal
        monkeypatch.delenv(name, raising=False)
    singletons, level = Singleton.get_state(), logging.getLogger().level
    gc.disable()  # composing drops so many objects that half of its time would go into visiting torch's
    yield Terminal(tmp_path, capsys)
    gc.enable()
    close_logs()
    logging.getLogger().setLevel(level)
    GlobalHydra.instance().clear()
    Singleton.set_state(singletons)
