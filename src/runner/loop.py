"""The training loop. It knows the order of events and nothing else: no task, precision, device, rank or logger."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Protocol

import torch
from torch import Tensor

from runner.averages import Averages
from runner.batch import Batch
from runner.checkpoint import Checkpoints
from runner.metrics import Metrics
from runner.observers.observers import Observers
from runner.optim.freezing import Frozen
from runner.plan import Plan
from runner.precision import Precision
from runner.randomness import Randomness
from runner.ranks import Ranked
from runner.state import State
from runner.stopping import Rules
from runner.tasks.task import Task
from runner.update import Update


class Batches(Protocol):
    """Prepared batches on the device: ``train`` without end, from any step on; ``part`` once through, in order."""

    def train(self, first_step: int) -> Generator[Batch, None, None]: ...

    def part(self, name: str) -> Iterator[Batch]: ...


def train(
    task: Task,
    data: Batches,
    *,
    updates: Mapping[str, Update],
    plan: Plan,
    state: State,
    precision: Precision,
    randomness: Randomness,
    ranks: Ranked,
    evaluate: Callable[[str, int], dict[str, float]],
    stopping: Rules,
    averages: Averages,
    frozen: Frozen,
    checkpoints: Checkpoints,
    observers: Observers,
) -> None:
    """Train from where ``state`` stands until the plan's budget is used, or ``state`` says why not."""
    task.train()
    with contextlib.closing(data.train(state.step)) as batches:
        while state.goes_on(plan.last_step):
            batch = next(batches)
            samples = ranks.begin(batch, state.step)
            randomness.reseed("step", state.step)
            frozen.begin(state.step)
            losses: dict[str, Tensor] = {}
            for name, parts in precision.losses(task, batch):
                losses |= updates[name].apply(parts)
            state.step += 1
            averages.step(state.step)
            state.means.add(losses, samples=samples)
            observers.stepped(state.step, losses, samples=samples)

            if plan.evaluates(state.step):
                with averages.in_place():
                    scores = state.means.take() | evaluate("valid", state.step)
                    improved = state.judge(scores)
                    for update in updates.values():
                        update.evaluated(scores)
                    rates = {update.rate_label: update.learning_rate for update in updates.values()}
                    judged = functools.partial(stopping.evaluated, scores | rates)
                    state.ended = ranks.first(judged)  # by one clock
                    observers.evaluated(state.step, scores, best=state.best)
                    checkpoints.save_best(state.step, improved)
            if plan.saves(state.step) or checkpoints.is_due():
                checkpoints.save(state.step)
    checkpoints.save(state.step)


@torch.inference_mode()
def evaluate(
    task: Task,
    data: Batches,
    part: str,
    *,
    step: int,
    metrics: Metrics,
    precision: Precision,
    randomness: Randomness,
) -> dict[str, float]:
    """The scores of the task on one part of the data: ``{"valid/loss": …}``. Each sample counts once."""
    randomness.reseed(f"evaluate {part}", step)
    metrics.reset()
    task.eval()
    for batch in data.part(part):
        with precision.autocast():
            task.scores(batch, metrics)
    task.train()
    return {f"{part}/{name}": value for name, value in metrics.compute().items()}
