"""Where in the folder of a run its weights are recorded. Free of torch."""

from __future__ import annotations

from pathlib import Path

FOLDER, INDEX = "trajectory", "index.json"


def index_in(folder: Path) -> Path:
    """What describes the weights in ``folder``, the ``FOLDER`` of a run. Raises ``ValueError`` where there are none."""
    if not folder.parent.is_dir():
        raise ValueError(f"{folder.parent}: there is no such folder; name that of a run")
    path = folder / INDEX
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file; record weights with trajectory=epochs")
    return path
