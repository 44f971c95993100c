"""``python -m runner predict RUN FILE|FOLDER... [--output PLACE]``: what the model makes of images."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.cli import argv as arguments
from runner.cli.restored import setting
from runner.problem import Refused

if TYPE_CHECKING:
    from runner.afterwards.prediction import Predictor

USAGE = "python -m runner predict RUN FILE|FOLDER... [checkpoint=NAME] [device=cpu] [--output PLACE] [--tiles]"


def main(argv: Sequence[str]) -> int:
    """Classes and boxes as CSV on stdout, or in the file ``--output``, JSON if it is called so; pictures in its folder.

    Raises ``Refused`` for all files that are no images at once, and for a place where something lies already.
    """
    output, words = arguments.option(argv, "--output")
    checkpoint, words = setting(words, "checkpoint", default="last")
    device, words = setting(words, "device", default="auto")
    tiled, words = "--tiles" in words, [word for word in words if word != "--tiles"]
    unknown = [word for word in words if word.startswith("-")]
    if unknown or len(words) < 2:
        raise Refused([f"predict: takes a run and images, got {' '.join(unknown or words) or 'nothing'}; {USAGE}"])
    run = arguments.run_folder(words[0], verb="predict")
    files = _files([Path(word).expanduser() for word in words[1:]])
    place = None if output is None else Path(output).expanduser()
    if place is not None and place.exists() and (place.is_file() or any(place.iterdir())):
        raise Refused([f"--output={output}: is there already, and nothing is overwritten; choose another place"])
    from runner.afterwards.loaded import load_run
    from runner.afterwards.prediction import Predictor

    predictor = Predictor(load_run(run, checkpoint=checkpoint, device=device), tiled=tiled)
    try:
        _write(predictor, files, place)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Refused([f"{error.filename or output}: cannot be written: {error.strerror or error}"]) from error
    return 0


def _files(given: Sequence[Path]) -> dict[Path, Path]:
    """The images by what they are called in the results: themselves, or of a folder by their path below it."""
    from runner.data.sources.image_folder import defects, images_in

    found: dict[Path, Path] = {}
    problems = []
    for path in given:
        if path.is_dir():
            inside = {file.relative_to(path): file for file in images_in(path)}
            problems += [f"{inside[name]}: another image has its name" for name in inside.keys() & found.keys()]
            found |= inside
            problems += [] if inside else [f"{path}: holds no images"]
        elif path.is_file():
            if Path(path.name) in found:
                problems.append(f"{path}: another image has its name")
            found[Path(path.name)] = path
        else:
            problems.append(f"{path}: there is no such file or folder")
    problems += defects(list(found.values()))
    if problems:
        raise Refused([f"predict: {problem}; name images" for problem in problems])
    return found


def _write(predictor: Predictor, files: Mapping[Path, Path], place: Path | None) -> None:
    if not predictor.draws:
        _write_rows(predictor, list(files.values()), place)
        return
    if place is None:
        raise Refused(["predict: this run makes pictures; --output=<folder> takes them"])
    count = 0
    for name, (file, picture) in zip(files, predictor.pictures(list(files.values())), strict=True):
        assert files[name] == file, "in their order"
        _draw(place / f"{name}.png", picture)
        count += 1
    print(f"written: {count} pictures in {place}")


def _draw(path: Path, picture: Any) -> None:
    from runner.afterwards.pictures import write_png
    from runner.afterwards.prediction import save_classes

    (write_png if picture.is_floating_point() else save_classes)(path, picture)


def _write_rows(predictor: Predictor, files: Sequence[Path], place: Path | None) -> None:
    rows = predictor.rows(files)
    if place is None:
        _write_csv(rows, predictor.columns, sys.stdout)
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("x", encoding="utf-8", newline="") as file:
        if place.suffix == ".json":
            json.dump(list(rows), file, indent=2)
            file.write("\n")
        else:
            _write_csv(rows, predictor.columns, file)
    print(f"written: {place}")


def _write_csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], file: Any) -> None:
    writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
