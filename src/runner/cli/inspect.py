"""``python -m runner inspect CHECKPOINT|RUN``: what a file of weights holds. The model is not built."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from runner.afterwards.weights import LAST, checkpoints_of
from runner.problem import Failed, Refused

USAGE = "python -m runner inspect CHECKPOINT|RUN"


def main(argv: Sequence[str]) -> int:
    """Print what the file holds; of a run's folder its last state, and a line for each other checkpoint.

    Exit status 1 when one of them is damaged.
    """
    if len(argv) != 1:
        raise Refused([f"inspect: takes a file of weights, or the folder of a run or an archive; {USAGE}"])
    path = Path(argv[0]).expanduser()
    if not path.exists():
        raise Refused([f"inspect {path}: there is no such file"])
    from runner.afterwards.inspection import contents

    if not path.is_dir():
        print("\n".join(contents(path).lines()))
        return 0
    files = checkpoints_of(path if (path / "checkpoints").is_dir() else path.parent)
    if not files:
        raise Refused([f"inspect {path}: is a folder without checkpoints; {USAGE}"])
    damaged = []
    for file in files:
        try:
            found = contents(file)
        except Failed as error:
            damaged.append(str(error))
            continue
        print("\n".join(found.lines()) if file.stem == LAST else found.headline())
    if damaged:
        raise Failed("\n".join(damaged))
    return 0
