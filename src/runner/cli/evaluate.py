"""``python -m runner evaluate RUN [checkpoint=NAME] [dataset=... key=value ...]``: score a finished run again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.cli import argv as arguments
from runner.cli.restored import Restored, restore, setting
from runner.problem import Refused
from runner.results.manifest import now, read_json, write_json

if TYPE_CHECKING:
    from runner.afterwards.evaluation import Evaluation


def main(argv: Sequence[str]) -> int:
    """Print the scores of the test part, and write them into the run's ``evaluations/``, or ``--output``."""
    output, words = arguments.option(argv, "--output")
    checkpoint, words = setting(words, "checkpoint", default="last")
    run = restore(words, verb="evaluate")
    if output is not None and Path(output).exists():
        raise Refused([f"--output={output}: is there already, and nothing is overwritten; choose another name"])
    from runner.afterwards.evaluation import chosen_data, evaluate, free_name
    from runner.afterwards.weights import weights_of

    weights = weights_of(run.folder, checkpoint)
    found = evaluate(run.cfg, weights, read_json(run.folder / "manifest.json"), **run.settings(checkpoint))
    name = f"{weights.path.stem}_on_{chosen_data(run.choices, run.cfg)}"
    try:
        file = free_name(run.folder / "evaluations", name) if output is None else Path(output)
        written = _write(file, run, found)
    except OSError as error:
        remedy = "--output=<file> writes it elsewhere"
        raise Refused([f"{error.filename}: cannot be written: {error.strerror or error}; {remedy}"]) from error
    print("\n".join([*lines(found), f"written: {', '.join(map(str, written))}"]))
    return 0


def _write(file: Path, run: Restored, found: Evaluation) -> list[Path]:
    """The file of numbers, and the pictures beside it."""
    from runner.afterwards.pictures import write_png

    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, {"run": str(run.folder), "evaluated": now(), "overrides": list(run.overrides), **found.content()})
    written = [file]
    for name, picture in found.pictures().items():
        written.append(file.with_suffix(f".{name}.png"))
        write_png(written[-1], picture)
    return written


def lines(found: Evaluation) -> Iterator[str]:
    """For the console: what was scored, the metrics, the classes, the calibration."""
    from runner.afterwards.classes import class_lines

    step = "" if found.weights.step is None else f", step {found.weights.step}"
    yield f"{found.weights.path}{step}, on {found.data['size']} test samples"
    width = max(map(len, found.metrics), default=0)
    yield from (f"{name:<{width}}  {value:.6g}" for name, value in found.metrics.items())
    if found.same is not None:
        yield f"{'the same' if found.same else 'NOT the same'} to the bit as the run measured at its end"
    content = found.content()
    for part, rows in content["classes"].items():
        yield from ["", f"{part}, by class", *class_lines(rows)]
    for part, reliability in content["calibration"].items():
        yield from ["", *_reliability(part, reliability)]


def _reliability(part: str, found: Mapping[str, Any]) -> Iterator[str]:
    ece = "-" if found["ece"] is None else f"{found['ece']:.4f}"
    yield f"{part}, calibration: expected calibration error {ece}"
    yield "confidence      count    mean  accuracy"
    for row in found["bins"]:
        if row["count"]:
            interval = f"{row['from']:.3f} to {row['to']:.3f}"
            yield f"{interval}  {row['count']:>6}  {row['confidence']:.4f}    {row['accuracy']:.4f}"
