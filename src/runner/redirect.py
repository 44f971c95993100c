"""Where the output of a process goes that has no terminal of its own. Free of torch."""

from __future__ import annotations

import faulthandler
import os
import sys
from pathlib import Path


def print_to(path: Path) -> None:
    """From now on append what this process prints to a file, line by line; a fault's stack, too."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    faulthandler.enable()
