"""Trajectories that were never trained, for tests of what reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from runner.trajectory.place import FOLDER
from runner.trajectory.store import Layout, open_store

SHAPES = {"model.conv.weight": (4, 1, 3, 3), "model.head.weight": (40, 30), "model.head.bias": (40,)}
STEPS = tuple(range(0, 60, 5))


def weights(step: float, seed: int) -> dict[str, Tensor]:
    """A start by ``seed``, and a walk on a bent line that slows down."""
    found = {}
    for name, shape in SHAPES.items():
        generator = torch.Generator().manual_seed(seed)
        start, there, aside = (torch.randn(shape, generator=generator) for _ in range(3))
        time = torch.tensor(step / 60.0)
        found[name] = start + time.sqrt() * there + 0.4 * (3.14 * time).sin() * aside
    return found


def recorded(folder: Path, *, seed: int = 0, steps: Sequence[int] = STEPS, dtype: str = "fp32", thaw: int = 0) -> Path:
    """A run's folder with nothing but recorded weights, which stand still until the step ``thaw``."""
    folder.mkdir(parents=True)
    layout = Layout(SHAPES, dtype)
    store = open_store(folder / FOLDER, layout, last_step=0)
    for step in steps:
        flat = torch.empty(layout.values, dtype=getattr(torch, {"fp32": "float32", "bf16": "bfloat16"}[dtype]))
        for name, view in layout.views(flat).items():
            view.copy_(weights(max(step, thaw), seed)[name])
        store.append(step, flat)
    store.close()
    return folder
