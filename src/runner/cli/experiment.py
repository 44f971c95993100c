"""``python -m runner experiment ARCHIVE ARCHIVE...``: several finished runs on the same test data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from runner.afterwards.weights import RECORDS, checkpoint_file, refuse_damaged
from runner.cli import argv as arguments
from runner.cli.restored import Restored, restore, setting
from runner.problem import Refused
from runner.results.manifest import read_json

USAGE = "python -m runner experiment ARCHIVE ARCHIVE... [checkpoint=NAME] [dataset=... key=value ...] [--out FOLDER]"


def main(argv: Sequence[str]) -> int:
    """Print the table of scores, and write it with curves and pictures into ``--out``, which is ``experiment``.

    Raises ``Refused`` for runs whose test data are not the same, before any is scored, and for a folder in use.
    """
    out, words = arguments.option(argv, "--out")
    checkpoint, words = setting(words, "checkpoint", default="last")
    folders = [word for word in words if arguments.is_verb(word) or Path(word).is_dir()]
    different = list({Path(word).expanduser().resolve(): word for word in folders}.values())
    if len(different) < 2:
        raise Refused([f"experiment: takes two archives or more, got {', '.join(folders) or 'none'}; {USAGE}"])
    overrides = [word for word in words if word not in folders]
    place = Path(out or "experiment").expanduser()
    if place.exists() and (place.is_file() or any(place.iterdir())):
        raise Refused([f"--out={place}: is there already, and nothing is overwritten; choose another folder"])
    runs = [restore([folder, *overrides], verb="experiment") for folder in different]
    for run in runs:
        refuse_damaged(run.folder, RECORDS)
        checkpoint_file(run.folder, checkpoint)
    _refuse_other_data({str(run.folder): run for run in runs})
    try:
        _compare(runs, checkpoint, place)
    except OSError as error:
        text = f"{error.filename or place}: cannot be written: {error.strerror or error}"
        raise Refused([f"{text}; --out=<folder> writes it elsewhere"]) from error
    return 0


def _refuse_other_data(runs: Mapping[str, Restored]) -> None:
    from runner.afterwards.evaluation import digest_of_test_part, refuse_lacking

    digests: dict[str, list[str]] = {}
    for name, run in runs.items():
        refuse_lacking(run.cfg)
        digests.setdefault(digest_of_test_part(run.cfg), []).append(name)
    if len(digests) > 1:
        told = "; ".join(f"{digest[:12]}: {', '.join(names)}" for digest, names in digests.items())
        raise Refused([f"experiment: the test data are not the same ({told}); dataset=<one> scores all on that"])


def _compare(runs: Sequence[Restored], checkpoint: str, place: Path) -> None:
    from runner.afterwards.evaluation import evaluate
    from runner.afterwards.experiment import Entrant, names_of, rows_of, write
    from runner.afterwards.weights import weights_of
    from runner.results.report import report

    entrants = []
    for name, run in zip(names_of([run.folder for run in runs]), runs, strict=True):
        manifest = read_json(run.folder / "manifest.json")
        weights = weights_of(run.folder, checkpoint)
        found = evaluate(run.cfg, weights, manifest, **run.settings(checkpoint))
        entrants.append(Entrant(name, run.folder, run.choices.get("model", "-"), run.cfg.seed, found))
    rows = rows_of(entrants)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
    place.mkdir(parents=True, exist_ok=True)
    files = write(entrants, place)
    made = report([run.folder for run in runs], out=place / "report")
    page = next(file for file in made.files if file.suffix == ".html")
    print(f"written: {len(files)} files in {place}; curves, as the runs recorded them: {page}")
