"""Whether what the runs will leave fits on the disk. Free of torch."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from runner.problem import Problem

STATES = 3  # of a checkpoint, in weights: themselves and what an optimizer like Adam keeps of each
FILES = 3  # last.pt, previous.pt, and the one that is being written


def run_bytes(weights_bytes: int, *, best: int, keep_best: int = 1) -> int:
    """What the checkpoints of one run take at most; ``best`` is the number of metrics that choose ``keep_best`` each.

    Those that the last saved state ranks stay until the next one is saved, beside those that are ranked by then.
    """
    return weights_bytes * (STATES * FILES + 2 * best * keep_best)


def disk_problems(folder: Path, key: str, *, needed_bytes: int) -> Iterator[Problem]:
    """A disk with less room than ``needed_bytes`` at ``folder``, which need not exist yet."""
    nearest = folder.absolute()
    while not nearest.exists():
        nearest = nearest.parent
    disk = shutil.disk_usage(nearest)
    free_bytes = disk.free
    if disk.total and needed_bytes > free_bytes:  # a file system without a size has no disk behind it
        text = f"has {free_bytes / 2**30:.1f} GiB free, and the runs may take {needed_bytes / 2**30:.1f} GiB"
        yield Problem(key, folder, text, "make room, or choose a folder on another disk")
