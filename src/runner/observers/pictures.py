"""Grids of pictures that show what was learnt, for observers that keep them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from runner.batch import map_tensors, tensors
from runner.observers.heat_map import heat_map
from runner.observers.observer import Outcome, RunInfo

if TYPE_CHECKING:
    from runner.batch import Batch

BORDER = 0.5  # grey: told apart from the background of both dark and light pictures


class Pictures:
    """What a task draws of a fixed validation batch, at the first evaluation and at each ``every_evaluations``-th one.

    At most ``count`` a grid; 0 for none.
    """

    def __init__(self, *, count: int, every_evaluations: int = 1) -> None:
        self.count = count
        self.every_evaluations = every_evaluations
        self._run: RunInfo | None = None
        self._sample: Batch | None = None

    def started(self, run: RunInfo) -> None:
        self._run = run
        self._sample = map_tensors(lambda tensor: tensor[: self.count], run.sample)

    def drawn(self, step: int) -> dict[str, Tensor]:
        """Named grids (C, H, W) in [0, 1] of the evaluation at ``step``; none where none is due."""
        assert self._run is not None, "started comes first"
        if not self.count or self._sample is None or not self._shows(step, self._run.plan.evaluate_every_steps):
            return {}
        drawn, asked = self._run.drawn, (step, self.count)
        if asked not in drawn:  # another observer of the run may have asked for the same
            drawn.clear()
            drawn[asked] = self._draw(self._run, self._sample)
        return dict(drawn[asked])

    def _draw(self, run: RunInfo, sample: Batch) -> dict[str, Tensor]:
        device = next((tensor.device for tensor in tensors(sample)), torch.device("cpu"))
        with _untouched(run.task, device), torch.inference_mode():
            pictures = run.task.pictures(sample)
        return {
            name: grid(to_pixels(some[: self.count], mean=run.mean, std=run.std)) for name, some in pictures.items()
        }

    def tables(self, outcome: Outcome) -> dict[str, Tensor]:
        """A heat map (3, H, W) in [0, 1] of each square table that ``outcome`` brings."""
        names = () if self._run is None else self._run.class_names
        square = {
            name: table for name, table in outcome.tables.items() if table.ndim == 2 and len(set(table.shape)) == 1
        }
        return {name: heat_map(table, names=names) for name, table in square.items()}

    def finished(self) -> None:
        self._run, self._sample = None, None

    def _shows(self, step: int, evaluate_every_steps: int) -> bool:
        number = math.ceil(step / evaluate_every_steps)  # not counted: a resumed run shows the same
        return number == 1 or number % self.every_evaluations == 0


def to_pixels(images: Tensor, *, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Images as the model sees them (B, C, H, W), on the CPU, in [0, 1]: ``images * std + mean``, clamped.

    Pictures of uint8 are shown as they are; others with another number of channels than ``mean`` (masks, maps) are
    taken to be in [0, 1] already. Of volumes (B, C, D, H, W) the middle slice is shown.
    """
    pixels = images.detach().float().cpu()
    if pixels.ndim == 5:
        pixels = pixels[:, :, pixels.shape[2] // 2]
    if images.dtype == torch.uint8:
        return pixels / 255
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
