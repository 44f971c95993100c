"""Grids of pictures that show what was learnt."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from runner.batch import map_tensors, tensors
from runner.observers.observer import EvaluationRecord, Outcome, RunInfo, StepRecord

if TYPE_CHECKING:
    from runner.batch import Batch

BORDER = 0.5  # grey: told apart from the background of both dark and light pictures


class Images:
    """The task's ``pictures`` of a fixed validation batch: ``images/<name>_step<0000123>.png`` in the run's folder.

    At most ``count`` pictures a grid, at the first evaluation and at each ``every_evaluations``-th one.
    Raises ``ValueError`` for a number below 1, and when the run has no folder.
    """

    def __init__(self, count: int = 16, every_evaluations: int = 1) -> None:
        for key, value in (("count", count), ("every_evaluations", every_evaluations)):
            if value < 1:
                raise ValueError(
                    f"{key} of Images must be at least 1, got {value}; for no pictures leave images out of logger"
                )
        self.count = count
        self.every_evaluations = every_evaluations
        self._run: RunInfo | None = None
        self._sample: Batch | None = None

    def started(self, run: RunInfo) -> None:
        if run.folder is None:
            raise ValueError("Images needs a run with a folder to write into; give one, or leave Images out")
        self._run = run
        self._sample = map_tensors(lambda tensor: tensor[: self.count], run.sample)

    def logged(self, record: StepRecord) -> None: ...

    def evaluated(self, record: EvaluationRecord) -> None:
        assert self._run is not None, "started comes first"
        assert self._run.folder is not None, "started refuses a run without one"
        if self._sample is None or not self._shows(record.step, self._run.plan.evaluate_every_steps):
            return
        device = next((tensor.device for tensor in tensors(self._sample)), torch.device("cpu"))
        with _untouched(self._run.task, device), torch.inference_mode():
            pictures = self._run.task.pictures(self._sample)
        for name, images in pictures.items():
            pixels = to_pixels(images[: self.count], mean=self._run.mean, std=self._run.std)
            path = self._run.folder / "images" / f"{name.replace('/', '_')}_step{record.step:07d}.png"
            write_png(path, grid(pixels))

    def finished(self, outcome: Outcome) -> None:  # noqa: ARG002
        self._run, self._sample = None, None

    def _shows(self, step: int, evaluate_every_steps: int) -> bool:
        number = math.ceil(step / evaluate_every_steps)  # not counted: a resumed run shows the same
        return number == 1 or number % self.every_evaluations == 0


def to_pixels(images: Tensor, *, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Images as the model sees them (B, C, H, W), on the CPU, in [0, 1]: ``images * std + mean``, clamped.

    Pictures with another number of channels than ``mean`` (masks, maps) are taken to be in [0, 1] already.
    """
    pixels = images.detach().float().cpu()
    if len(mean) == pixels.shape[1]:
        scale, shift = (torch.tensor(list(values)).reshape(-1, 1, 1) for values in (std, mean))
        pixels = pixels * scale + shift
    return pixels.nan_to_num(0.0).clamp(0.0, 1.0)


def grid(images: Tensor) -> Tensor:
    """One nearly square picture (C, H', W') of all ``images`` (B, C, H, W), with borders of one pixel."""
    count, channels, height, width = images.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    canvas = images.new_full((channels, rows * (height + 1) + 1, columns * (width + 1) + 1), BORDER)
    for index, image in enumerate(images):
        top, left = index // columns * (height + 1) + 1, index % columns * (width + 1) + 1
        canvas[:, top : top + height, left : left + width] = image
    return canvas


def write_png(path: Path, image: Tensor) -> None:
    """Write an image (C, H, W) in [0, 1]: grey from one or two channels, colour from the first three of more."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    levels = image.mul(255).round().to(torch.uint8)
    array = levels[0] if len(levels) < 3 else levels[:3].permute(1, 2, 0)
    temporary = path.with_name(f".{path.name}")
    Image.fromarray(array.contiguous().numpy()).save(temporary, format="PNG")
    temporary.replace(path)


@contextmanager
def _untouched(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Eval mode inside; after, each module's own mode and the default generators are as they were before.

    ``torch.random.fork_rng`` would visit every device.
    """
    modes = [(child, child.training) for child in module.modules()]
    cpu = torch.get_rng_state()
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    mps = torch.mps.get_rng_state() if device.type == "mps" else None
    module.eval()
    try:
        yield
    finally:
        for child, training in modes:
            child.training = training
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state(cuda, device)
        if mps is not None:
            torch.mps.set_rng_state(mps)
