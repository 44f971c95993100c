"""The network of a finished run for use without us: as a program of ``torch.export``, and as ONNX."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from runner.afterwards.loaded import LoadedRun
from runner.batch import tensors
from runner.config import build
from runner.data.data import Data
from runner.problem import Failed, Refused
from runner.randomness import Randomness

TOLERANCE = 1e-4  # of the largest output, or of 1 where that is smaller
ONNX = ("onnx", "onnxscript", "onnxruntime")

Network = Callable[[Tensor], Any]


@dataclass(frozen=True)
class Exported:
    """``difference`` is the largest between its outputs and the network's, over ``samples`` of the test part."""

    path: Path
    difference: float
    samples: int


def export(run: LoadedRun, path: Path) -> Exported:
    """Write a program that takes prepared images, float32 (B, C, *S) with any B, to ``path``.

    It is there when it has been checked. Raises ``Refused`` for a run without one network that takes images,
    ``Failed`` for a network that cannot be exported, and for a program that gives something else.
    """
    program = _program(run)
    return _checked(run, path, lambda file: torch.export.save(program, file), _loaded)


def export_onnx(run: LoadedRun, path: Path) -> Exported:
    """The same as ONNX, run by onnxruntime on the CPU. Raises ``Refused`` also without the packages in ``ONNX``."""
    missing = [name for name in ONNX if find_spec(name) is None]
    if missing:
        raise Refused([f"export: --onnx needs {', '.join(missing)}; install runner[onnx]"])
    program = _program(run)

    def save(file: Path) -> None:
        made = torch.onnx.export(program, dynamo=True, verbose=False)
        assert made is not None, "dynamo gives a program"
        made.save(file)

    return _checked(run, path, save, _session)


def _program(run: LoadedRun) -> torch.export.ExportedProgram:
    image_size = getattr(run.spec, "image_size", None)
    if image_size is None or run.model is run.task:
        kind = type(run.task).__name__
        raise Refused([f"export: {kind} on {run.spec.kind} has no single network that takes images; name another run"])
    images = run.prepare(torch.zeros(2, run.spec.facts()["in_channels"], *image_size, dtype=torch.uint8))
    _refuse_chance(run, images)
    batch = torch.export.Dim("batch", min=1)
    try:
        with torch.no_grad(), redirect_stderr(io.StringIO()):  # torch prints a whole graph before its error
            return torch.export.export(run.model, (images,), dynamic_shapes=({0: batch},))
    except Exception as error:  # whatever torch.export has against a model
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise Failed(f"export: torch.export cannot make a program of {type(run.model).__name__}: {reason}") from error


@torch.inference_mode()
def _refuse_chance(run: LoadedRun, images: Tensor) -> None:
    """Raises ``Refused`` for a network that gives something else each time: nothing could be compared with it."""
    once, again = (tensors(run.model(images)) for _ in range(2))
    if any(not torch.equal(one.nan_to_num(), other.nan_to_num()) for one, other in zip(once, again, strict=True)):
        name = type(run.model).__name__
        raise Refused([f"export: {name} draws random numbers, so no program gives what it gives; name another run"])


def _loaded(file: Path, device: torch.device) -> Network:
    network: Network = torch.export.load(file).module().to(device)
    return network


def _session(file: Path, device: torch.device) -> Network:
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()

    def network(images: Tensor) -> tuple[Tensor, ...]:
        outputs = session.run(None, {given.name: images.cpu().numpy()})
        return tuple(torch.from_numpy(output).to(device) for output in outputs)

    return network


def _checked(
    run: LoadedRun, path: Path, save: Callable[[Path], None], load: Callable[[Path, torch.device], Network]
) -> Exported:
    """``save`` beside ``path``, ``load`` what lies there, compare, and only then let it be ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".new.{path.name}")
    try:
        save(temporary)
        difference, samples = compared(run, load(temporary, run.device))
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
    return Exported(path, difference, samples)


@torch.inference_mode()
def compared(run: LoadedRun, network: Network) -> tuple[float, int]:
    """The largest difference between ``network`` and the run's on the test part, and its samples; first of one alone.

    Raises ``Failed`` for more than ``TOLERANCE``.
    """
    largest, samples = 0.0, 0
    for images in _test_images(run):
        for some in [images[:1], images] if not samples else [images]:
            pairs = zip(tensors(run.model(some)), tensors(network(some)), strict=True)
            for own, other in pairs:
                difference = (own - other).abs().max().item()  # host sync
                if not difference <= TOLERANCE * max(1.0, own.abs().max().item()):
                    text = f"differ by {difference:.3g} from those of {type(run.model).__name__}"
                    raise Failed(f"export: outputs of what was exported {text}; nothing is kept")
                largest = max(largest, difference)
        samples += len(images)
    return largest, samples


def _test_images(run: LoadedRun) -> Iterator[Tensor]:
    """Prepared batches."""
    splits, trainer = build.load_splits(run.config), run.config.trainer
    data = Data(
        splits,
        device=run.device,
        batch_size=min(trainer.batch_size, len(splits.train)),
        eval_batch_size=trainer.eval_batch_size,
        randomness=Randomness(run.config.seed),
        channels_last=trainer.channels_last,
    )
    for batch in data.part("test"):
        yield next(tensors(batch))
