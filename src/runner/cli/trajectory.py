"""``python -m runner trajectory RUN...``: what the recorded weights of runs show, as numbers and pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runner.cli import argv as arguments
from runner.problem import Refused
from runner.trajectory.place import FOLDER, INDEX, index_in

if TYPE_CHECKING:
    from runner.results.trajectories.study import Study

USAGE = """\
python -m runner trajectory RUN... [--layers PATTERN] [--output DIR] [--format svg|png]
python -m runner trajectory --line RUN[@STEP] RUN[@STEP] [--points N] [--part valid|test] [--output DIR]
python -m runner trajectory export RUN --csv|--npz DIR"""
FORMS, PARTS = ("svg", "png"), ("valid", "test")


def main(argv: Sequence[str]) -> int:
    """Write tables and pictures into the folder ``trajectory`` of the first run, or into ``--output``.

    Raises ``Refused`` for what is no run with recorded weights, and for a folder that cannot be written.
    """
    try:
        if argv[:1] == ["export"]:
            return _export(argv[1:])
        return _line(argv) if "--line" in argv else _study(argv)
    except ValueError as error:
        raise error if isinstance(error, Refused) else Refused([str(error)]) from error
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Refused([f"{error.filename}: {error.strerror or error}; --output=<folder> writes elsewhere"]) from error


def _study(argv: Sequence[str]) -> int:
    output, form, words = _common(argv)
    layers, words = arguments.option(words, "--layers")
    runs = _runs(words)
    from runner.results.trajectories.study import Study

    study = Study.of(runs, pattern=layers)
    folder = _made(output, runs[0])
    _told(study)
    files = study.write(folder)
    if _draws():
        from runner.results.trajectories.pictures import draw

        files += draw(study, folder, form=form)
    _wrote(files, folder)
    return 0


def _line(argv: Sequence[str]) -> int:
    output, form, words = _common(argv)
    points, words = arguments.option(words, "--points")
    part, words = arguments.option(words, "--part")
    ends = _plain([word for word in words if word != "--line"])
    if len(ends) != 2:
        raise Refused([f"--line: takes two ends, got {len(ends)}; {USAGE}"])
    count = int(points) if points is not None and points.isdigit() else 11 if points is None else 0
    if count < 3:
        raise Refused([f"--points={points}: must be a whole number, at least 3"])
    part = _one_of("--part", part or "valid", PARTS)
    from runner.results.trajectories import line

    one, other = (line.End.of(text) for text in ends)
    folder = _made(output, one.run, check=True)
    from runner.cli.restored import restore
    from runner.results.trajectories.study import write_table

    found = line.scores_along(restore([str(one.run)], verb="trajectory").cfg, one, other, points=count, part=part)
    folder.mkdir(parents=True, exist_ok=True)
    loss = next((name for name in found if name.endswith("loss")), list(found)[1])
    print(f"from {one.name} to {other.name}: {loss} rises by at most {line.barrier(found, loss):.4g} above the line")
    files = [write_table(folder / "line.csv", list(found), zip(*found.values(), strict=True))]
    if _draws():
        from runner.results.trajectories.pictures import line as picture
        from runner.results.trajectories.pictures import save

        scores = {name: values for name, values in found.items() if name != "at"}
        files.append(save(lambda: picture(scores, found["at"], (one.name, other.name)), folder / f"line.{form}"))
    _wrote(files, folder)
    return 0


def _export(argv: Sequence[str]) -> int:
    as_csv, words = arguments.option(argv, "--csv")
    as_npz, words = arguments.option(words, "--npz")
    runs = _plain(words)
    if len(runs) != 1 or (as_csv is None) == (as_npz is None):
        raise Refused([f"export: takes one run, and either --csv or --npz with a new folder; {USAGE}"])
    run = Path(runs[0]).expanduser()
    index_in(run / FOLDER)
    from runner.trajectory import export
    from runner.trajectory.reader import Trajectory

    folder = Path(as_csv or as_npz or "").expanduser()
    write = export.to_npz if as_csv is None else export.to_csv
    files = write(Trajectory(run), folder)
    print(f"{'1 file' if len(files) == 1 else f'{len(files)} files'}: {folder}")
    return 0


def _common(argv: Sequence[str]) -> tuple[Path | None, str, list[str]]:
    output, words = arguments.option(argv, "--output")
    form, words = arguments.option(words, "--format")
    return None if output is None else Path(output).expanduser(), _one_of("--format", form or "svg", FORMS), words


def _one_of(flag: str, value: str, choices: Sequence[str]) -> str:
    if value not in choices:
        raise Refused([f"{flag}={value}: must be {' or '.join(choices)}"])
    return value


def _plain(words: Sequence[str]) -> list[str]:
    flags = [word for word in words if word.startswith("-")]
    if flags:
        raise Refused([f"{flag}: there is no such flag; {USAGE}" for flag in flags])
    return list(words)


def _runs(words: Sequence[str]) -> list[Path]:
    """Those that are named; of a sweep all that have recorded weights."""
    found: list[Path] = []
    for word in _plain(words):
        folder = Path(word).expanduser()
        jobs = [index.parents[1] for index in folder.glob(f"*/{FOLDER}/{INDEX}")]
        found += sorted(jobs) if jobs else [folder]
    if not found:
        raise Refused([f"trajectory: needs the folder of a run; {USAGE}"])
    for run in found:
        index_in(run / FOLDER)  # said before torch is imported
    return list(dict.fromkeys(found))


def _made(output: Path | None, run: Path, *, check: bool = False) -> Path:
    """Where files go; made now, unless it is only checked that there is a run."""
    if check and not run.is_dir():
        raise Refused([f"{run}: there is no such folder; name that of a run"])
    folder = output or run / FOLDER
    if not check:
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _draws() -> bool:
    from runner.drawing import available

    if not available():
        print("no pictures: they need matplotlib; install runner[report]")
    return available()


def _wrote(files: Iterable[Path], folder: Path) -> None:
    print(f"{folder}: {', '.join(file.name for file in files)}")


def _told(study: Study) -> None:
    """How far each layer went, and how straight; the mean over the runs."""
    count = "1 run" if len(study.runs) == 1 else f"{len(study.runs)} runs"
    print(f"{count}, {len(study.steps)} snapshots, steps {study.steps[0]} to {study.steps[-1]}")
    width = max(len("layer"), *map(len, study.geometries))
    print(f"{'layer':<{width}} {'norm':>9} {'moved':>9} {'path':>9} {'cosine':>7}  variance in 2 components")
    for layer, geometry in study.geometries.items():
        runs = [geometry.among(study.rows(number)) for number in range(len(study.runs))]
        norm = sum(float(run.norms[0]) for run in runs) / len(runs)
        moved = sum(float(run.squared_distances()[0, -1]) ** 0.5 for run in runs) / len(runs)
        path = sum(float(run.step_lengths().sum()) for run in runs) / len(runs)
        cosine = sum(float(run.cosines().nanmean()) for run in runs) / len(runs)
        share = float(study.pca[layer].shares[:2].sum())
        print(f"{layer:<{width}} {norm:>9.4g} {moved:>9.4g} {path:>9.4g} {cosine:>7.3f}  {share:.1%}")
