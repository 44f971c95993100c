"""Scores along the straight line between two sets of weights: whether a ridge lies between them.

Frankle, Dziugaite, Roy and Carbin, "Linear mode connectivity and the lottery ticket hypothesis" (2020).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import Tensor

from runner import digest
from runner.afterwards.weights import weights_of
from runner.composition import compose
from runner.config import build
from runner.numerics import numerics, resolve_device
from runner.state import State
from runner.tasks.task import Task
from runner.trajectory.reader import Trajectory

REMEDY = "record them with trajectory.norms_and_biases=true trajectory.buffers=true, or name the run alone"


@dataclass(frozen=True)
class End:
    """One end of a line: a run's final weights (``RUN``), or those that it recorded at a step (``RUN@390``)."""

    run: Path
    step: int | None = None

    @classmethod
    def of(cls, text: str) -> End:
        name, _, step = text.rpartition("@")
        if Path(text).exists() or not name:
            return cls(Path(text))
        if not step.isdigit():
            raise ValueError(f"{text}: write RUN or RUN@STEP, with a number for the step")
        return cls(Path(name), int(step))

    @property
    def name(self) -> str:
        return self.run.resolve().name if self.step is None else f"{self.run.resolve().name}@{self.step}"

    def weights(self) -> Mapping[str, Tensor]:
        """Raises ``ValueError`` where there are none."""
        if self.step is None:
            return weights_of(self.run).tensors
        trajectory = Trajectory(self.run)
        if self.step not in trajectory.steps:
            near = min(trajectory.steps, key=lambda other: abs(other - (self.step or 0)))
            raise ValueError(f"{self.run} has no weights of step {self.step}; the nearest is {near}")
        return trajectory[self.step]


def scores_along(cfg: DictConfig, one: End, other: End, *, points: int, part: str) -> dict[str, list[float]]:
    """The scores on ``part`` at ``points`` places, both ends included, under the column "at", from 0 to 1, and by name.

    ``cfg`` is the configuration of the first end's run. All floating-point tensors lie on the line, the running means
    of batch norm, too; whole numbers are the first end's. Raises ``ValueError`` for an end that lacks any.
    """
    device, trainer = resolve_device(cfg.trainer.device), cfg.trainer
    with numerics(device, threads=trainer.threads, tf32=trainer.tf32, deterministic=trainer.deterministic):
        session = compose(build.tentative(cfg), device=device, state=State()).session
        ends = [_complete(session.task, end) for end in (one, other)]
        found: dict[str, list[float]] = {}
        for at in torch.linspace(0.0, 1.0, points, dtype=torch.float64).tolist():
            _place(session.task, *ends, at=at)
            for name, value in {"at": at, **session.evaluate(part, 0)}.items():
                found.setdefault(name, []).append(value)
    return found


def barrier(found: Mapping[str, list[float]], name: str) -> float:
    """How much higher the score gets than the straight line between its ends."""
    first, last = found[name][0], found[name][-1]
    straight = [first + at * (last - first) for at in found["at"]]
    return max(value - expected for value, expected in zip(found[name], straight, strict=True))


def _complete(task: Task, end: End) -> dict[str, Tensor]:
    weights, wanted = end.weights(), digest.weights(task)
    missing = [name for name, tensor in wanted.items() if tensor.is_floating_point() and name not in weights]
    if missing:
        some = ", ".join(missing[:3]) + ", …" * (len(missing) > 3)
        raise ValueError(f"{end.name} lacks {len(missing)} tensors of the model ({some}); {REMEDY}")
    other = [name for name, tensor in wanted.items() if name in weights and weights[name].shape != tensor.shape]
    if other:
        raise ValueError(f"{end.name}: {other[0]} has another shape there; compare runs of one model")
    return {name: weights[name] for name in wanted if name in weights}


@torch.no_grad()
def _place(task: Task, one: Mapping[str, Tensor], other: Mapping[str, Tensor], *, at: float) -> None:
    for name, tensor in digest.weights(task).items():
        if tensor.is_floating_point():
            tensor.copy_(torch.lerp(one[name].double(), other[name].double(), at))
        elif name in one:
            tensor.copy_(one[name])
