"""Which files of best weights there are, and under which names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from runner.durable import appearing

BESIDE = ".step_"  # in the name of a file that is not the best, before its step

Ranking = Mapping[str, Sequence[int]]
"""By metric the steps of the best evaluations, best first."""


class BestFiles:
    """``best_<metric>.pt`` is the best evaluation by that metric, ``best_<metric>.step_<step>.pt`` a next best.

    ``ranked`` gives the ranking as it is now. What was ranked when the state was saved stays until the next one is
    saved, so that a run which goes on from there finds it: for a while there may be twice as many files.
    """

    def __init__(self, folder: Path, ranked: Callable[[], Ranking] = dict) -> None:
        self.folder = folder
        self.ranked = ranked
        self._saved: Ranking = {}
        self._steps: dict[Path, int] = {}  # of what each best_<metric>.pt holds

    def add(self, metric: str, step: int, *, write: Callable[[Path], None]) -> None:
        """Keep the evaluation at ``step``, which was ranked by ``metric``; ``write`` makes a whole file of it at once.

        Whenever this is cut off, ``best_<metric>.pt`` is whole: the old best has a second name before the first is
        taken from it.
        """
        best = self.path(metric)
        if self.ranked().get(metric, [step])[0] != step:
            write(_beside(best, step))
        else:
            if best in self._steps and best.is_file():
                displaced = _beside(best, self._steps[best])
                if displaced in self._wanted():
                    _name_also(best, displaced)
            write(best)
            self._steps[best] = step
        self._remove_others()

    def saved(self) -> None:
        """The state is on the disk: what it does not rank may go."""
        self._saved = {metric: tuple(steps) for metric, steps in self.ranked().items()}
        self._remove_others()

    def restored(self, steps: Mapping[Path, int]) -> None:
        """The state is that of the disk again; ``steps`` are those of the sound files. Later evaluations go."""
        self._steps = {file: step for file, step in steps.items() if BESIDE not in file.name}
        for metric, ranked in self.ranked().items():
            best = self.path(metric)
            own = _beside(best, ranked[0])
            if own in steps:
                own.replace(best)
                self._steps[best] = ranked[0]
        self.saved()

    def path(self, metric: str) -> Path:
        """Of the best evaluation."""
        return self.folder / f"best_{metric.removeprefix('valid/').replace('/', '_')}.pt"

    def _wanted(self) -> set[Path]:
        return {*self._places(self.ranked()), *self._places(self._saved)}

    def _places(self, ranking: Ranking) -> Iterator[Path]:
        """Of all but what is in ``best_<metric>.pt`` now."""
        now = self.ranked()
        for metric, steps in ranking.items():
            yield from (_beside(self.path(metric), step) for step in steps if step != now[metric][0])

    def _remove_others(self) -> None:
        wanted = self._wanted()
        for file in self.folder.glob(f"best_*{BESIDE}*.pt"):
            if file not in wanted:
                file.unlink()


def _beside(best: Path, step: int) -> Path:
    return best.with_name(f"{best.stem}{BESIDE}{step:08d}{best.suffix}")


def _name_also(file: Path, other: Path) -> None:
    """``other`` names the same content; where the file system knows no second names, it is a copy."""
    try:
        os.link(file, other)
    except OSError:
        with appearing(other) as temporary:
            shutil.copyfile(file, temporary)
            with temporary.open("rb") as copied:
                os.fsync(copied.fileno())
