"""Several finished runs beside each other, scored on the same test data."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.afterwards.evaluation import Evaluation
from runner.afterwards.pictures import write_png


@dataclass(frozen=True)
class Entrant:
    """One run: ``name`` is that of its folder, and nobody else's."""

    name: str
    folder: Path
    model: str
    seed: int
    found: Evaluation

    @property
    def facts(self) -> dict[str, Any]:
        weights = self.found.weights
        checkpoint = {"checkpoint": weights.path.stem, "step": weights.step}
        return {"run": self.name, "model": self.model, "seed": self.seed, **checkpoint}


def names_of(folders: Sequence[Path]) -> list[str]:
    """Each folder's own name, with a number behind it where others have the same."""
    names: list[str] = []
    for folder in folders:
        name, number = folder.resolve().name, 1
        while (name if number == 1 else f"{name}-{number}") in names:
            number += 1
        names.append(name if number == 1 else f"{name}-{number}")
    return names


def metrics_of(entrants: Sequence[Entrant]) -> list[str]:
    """All that was measured of any of them, in order."""
    return list(dict.fromkeys(name for entrant in entrants for name in entrant.found.metrics))


def rows_of(entrants: Sequence[Entrant]) -> list[list[str]]:
    """The table of scores: a head, and a row for each run; a metric that a run does not have is a dash."""
    metrics = metrics_of(entrants)
    rows = [["run", "model", "seed", "checkpoint", *metrics]]
    for entrant in entrants:
        measured = entrant.found.metrics
        scores = [f"{measured[name]:.6g}" if name in measured else "-" for name in metrics]
        rows.append([entrant.name, entrant.model, str(entrant.seed), entrant.found.weights.path.stem, *scores])
    return rows


def write(entrants: Sequence[Entrant], out: Path) -> list[Path]:
    """``scores.csv`` and ``scores.md``, ``classes.csv`` where there are classes, and ``pictures/<run>/``; the files."""
    scores = [
        {**entrant.facts, "metric": name, "value": value}
        for entrant in entrants
        for name, value in entrant.found.metrics.items()
    ]
    classes = [
        {**entrant.facts, "part": part, **row}
        for entrant in entrants
        for part, rows in entrant.found.content()["classes"].items()
        for row in rows
    ]
    head, *rows = rows_of(entrants)
    lines = [head, ["---"] * 4 + ["---:"] * (len(head) - 4), *rows]
    (out / "scores.md").write_text("".join(f"| {' | '.join(line)} |\n" for line in lines), encoding="utf-8")
    files = [out / "scores.md", _table(out / "scores.csv", scores)]
    files += [_table(out / "classes.csv", classes)] if classes else []
    for entrant in entrants:
        for name, picture in entrant.found.pictures().items():
            files.append(out / "pictures" / entrant.name / f"{name}.png")
            write_png(files[-1], picture)
    return files


def _table(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """With all digits."""
    some = list(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(some[0]) if some else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(some)
    return path
