"""``python -m runner check ...``: what a command would be refused for; nothing is written and nothing started."""

from __future__ import annotations

from collections.abc import Sequence

from runner.cli.main import train


def main(argv: Sequence[str]) -> int:
    """Check the run, or with ``-m`` all jobs of the sweep, that the rest of the command line asks for."""
    return train(argv, check_only=True)
