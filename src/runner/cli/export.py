"""``python -m runner export RUN [--onnx]``: the network as a file that needs neither us nor its source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from runner.cli import argv as arguments
from runner.cli.restored import setting
from runner.problem import Refused
from runner.results.manifest import write_json

USAGE = "python -m runner export RUN [checkpoint=NAME] [device=cpu] [--onnx] [--output FOLDER]"


def main(argv: Sequence[str]) -> int:
    """Write ``exported/<checkpoint>.pt2``, with ``--onnx`` an ``.onnx`` instead, and what goes in and comes out beside.

    Raises ``Refused`` where a file of that name lies already.
    """
    output, words = arguments.option(argv, "--output")
    checkpoint, words = setting(words, "checkpoint", default="last")
    device, words = setting(words, "device", default="cpu")
    suffix = ".onnx" if "--onnx" in words else ".pt2"
    words = [word for word in words if word != "--onnx"]
    if len(words) != 1 or words[0].startswith("-"):
        raise Refused([f"export: takes the folder of one run, got {' '.join(words) or 'nothing'}; {USAGE}"])
    folder = arguments.run_folder(words[0], verb="export")
    place = folder / "exported" if output is None else Path(output).expanduser()
    path = place / f"{Path(checkpoint).stem}{suffix}"
    if path.exists():
        raise Refused([f"export: {path} is there already, and nothing is overwritten; --output=<another folder>"])
    from runner.afterwards.exporting import export, export_onnx
    from runner.afterwards.loaded import load_run

    run = load_run(folder, checkpoint=checkpoint, device=device)
    try:
        made = (export_onnx if suffix == ".onnx" else export)(run, path)
        described = path.with_name(f"{path.name}.json")
        write_json(
            described,
            {
                "run": str(folder),
                "step": run.step,
                "input": "float32 (batch, channels, *size): (pixels / 255 - mean) / std, for each channel",
                **{key: list(value) if isinstance(value, tuple) else value for key, value in run.spec.facts().items()},
                "mean": list(run.mean),
                "std": list(run.std),
                "class_names": list(run.class_names),
                "largest_difference": made.difference,
                "compared_samples": made.samples,
            },
        )
    except OSError as error:
        text = f"{error.filename or place}: cannot be written: {error.strerror or error}"
        raise Refused([f"{text}; --output=<folder> writes it elsewhere"]) from error
    told = f"the largest difference is {made.difference:.3g}"
    print(f"written: {path}, {described}\ncompared with the run's network on {made.samples} test samples: {told}")
    return 0
