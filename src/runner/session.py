"""Everything that one training needs, put together from objects: by ``run`` from a configuration, or by hand."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from runner import loop
from runner.averages import Averages, MovingAverages, NoAverages
from runner.checkpoint import Checkpoints, FolderCheckpoints, NoCheckpoints, Stateful
from runner.metrics import Metrics
from runner.observers.observer import Observer
from runner.observers.observers import Observers
from runner.optim import Frozen, NothingFrozen, Scheduler
from runner.plan import Plan
from runner.precision import Precision
from runner.randomness import ProcessGenerators, Randomness
from runner.ranks import Alone, Ranked
from runner.state import State
from runner.stopping import Rules
from runner.tasks.task import Task
from runner.update import Update, loss_label


def make_updates(
    task: Task,
    optimizers: Mapping[str, torch.optim.Optimizer],
    *,
    schedule: Callable[[torch.optim.Optimizer], Scheduler],
    precision: Precision,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    ranks: Ranked | None = None,
) -> dict[str, Update]:
    """One update for each network of the task, with the gradients of all ``ranks``.

    Raises ``ValueError`` when optimizers and networks do not match.
    """
    networks, ranks = task.networks(), ranks or Alone()
    names = list(networks)
    if not names:
        raise ValueError(f"{type(task).__name__} has nothing to train: no network of it has a trainable parameter")
    if set(names) != set(optimizers):
        raise ValueError(
            f"one optimizer is needed for each of {', '.join(names)}; got {', '.join(optimizers) or 'none'}"
        )
    return {
        name: Update(
            name,
            optimizers[name],
            scheduler=schedule(optimizers[name]),
            scaler=precision.scaler(),
            clip_norm=clip_norm,
            clip_value=clip_value,
            alone=len(names) == 1,
            gradients=ranks.gradients(loss_label(name, alone=len(names) == 1), network),
        )
        for name, network in networks.items()
    }


def learning_rates(updates: Mapping[str, Update]) -> dict[str, float]:
    """The rate of each optimizer's first group: ``{"lr": …}``, or ``{"lr/generator": …}``."""
    return {update.rate_label: update.learning_rate for update in updates.values()}


def momenta(updates: Mapping[str, Update]) -> dict[str, float]:
    """The momentum of each optimizer's first group where a schedule moves it: ``{"momentum": …}``, as the rates."""
    return {update.momentum_label: update.momentum for update in updates.values() if update.momentum is not None}


@dataclass
class Session:
    """One training, ready to start or to go on."""

    task: Task
    data: loop.Batches
    updates: Mapping[str, Update]
    plan: Plan
    state: State
    precision: Precision
    randomness: Randomness
    metrics: Metrics
    stopping: Rules
    checkpoints: Checkpoints
    observers: Observers
    ranks: Ranked = field(default_factory=Alone)
    averages: Averages = field(default_factory=NoAverages)
    frozen: Frozen = field(default_factory=NothingFrozen)
    sets: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # of parts made of several: samples by name
    tables: dict[str, Tensor] = field(default_factory=dict)  # what the last evaluation measured besides numbers

    def train(self) -> None:
        """Train until the budget is used, or until ``state`` says why not."""
        self.ranks.share_weights(self.task)
        loop.train(
            self.task,
            self.data,
            updates=self.updates,
            plan=self.plan,
            state=self.state,
            precision=self.precision,
            randomness=self.randomness,
            ranks=self.ranks,
            evaluate=self.evaluate,
            stopping=self.stopping,
            averages=self.averages,
            frozen=self.frozen,
            checkpoints=self.checkpoints,
            observers=self.observers,
        )

    def evaluate(self, part: str, step: int) -> dict[str, float]:
        """The scores of the weights, or of their averages, on ``part``, "valid" or "test"; on all ranks the same.

        Of a part made of several sets, those of each (``valid/near/loss``) and their means over samples
        (``valid/loss``). ``tables`` has what is more than one number.
        """
        self.tables = {}
        sizes = self.sets.get(part, {})
        with self.averages.in_place():
            self.ranks.share_buffers()  # the averages: each rank has its own of what batch norm saw
            if sizes:
                scores = over_sets(part, {name: self._scores(f"{part}/{name}", step) for name in sizes}, samples=sizes)
            else:
                scores = self._scores(part, step)
        return self.ranks.first(lambda: scores)

    def _scores(self, part: str, step: int) -> dict[str, float]:
        scores = loop.evaluate(
            self.task,
            self.data,
            part,
            step=step,
            metrics=self.metrics,
            precision=self.precision,
            randomness=self.randomness,
        )
        self.tables |= {f"{part}/{name}": table for name, table in self.metrics.arrays().items()}
        return scores


def over_sets(part: str, scores: Mapping[str, Mapping[str, float]], *, samples: Mapping[str, int]) -> dict[str, float]:
    """The scores of the sets of ``part``, and before them the mean over samples of each, of the sets that have it.

    ``{"near": {"valid/near/loss": …}, …}`` gives ``{"valid/loss": …, "valid/near/loss": …, …}``.
    """
    measured: dict[str, list[tuple[float, int]]] = {}
    for of_set, values in scores.items():
        for name, value in values.items():
            plain = f"{part}/{name.removeprefix(f'{part}/{of_set}/')}"
            measured.setdefault(plain, []).append((value, samples[of_set]))
    means = {
        name: sum(value * (count / sum(count for _, count in pairs)) for value, count in pairs)
        for name, pairs in measured.items()
    }
    return means | {name: value for values in scores.values() for name, value in values.items()}


def assemble(
    task: Task,
    data: loop.Batches,
    *,
    updates: Mapping[str, Update],
    plan: Plan,
    state: State,
    precision: Precision,
    randomness: Randomness,
    metrics: Metrics,
    observers: Sequence[Observer],
    checkpoints_folder: Path | None,
    stopping: Rules | None = None,
    identity: Mapping[str, Any] | None = None,
    save_every_s: float | None = None,
    ranks: Ranked | None = None,
    sets: Mapping[str, Mapping[str, int]] | None = None,
    ema_decay: float | None = None,
    frozen: Frozen | None = None,
) -> Session:
    """A session whose every part with memory is kept in ``checkpoints_folder``, if there is one.

    With ``ema_decay`` evaluations are of moving averages of the weights, and so are the best that are kept.
    ``identity`` and ``save_every_s`` are those of ``FolderCheckpoints``; ``sets`` are those of ``Splits``.
    """
    stopping, ranks = stopping or Rules(), ranks or Alone()
    parts: dict[str, Stateful] = {"task": task, "state": state, "stopping": stopping, "generators": ProcessGenerators()}
    parts.update({f"update/{name}": update for name, update in updates.items()})
    looking = Observers(
        observers, plan, functools.partial(learning_rates, updates), functools.partial(momenta, updates)
    )
    averages: Averages = NoAverages()
    if ema_decay is not None:
        averages = parts["averages"] = MovingAverages(task, decay=ema_decay)
    checkpoints: Checkpoints = NoCheckpoints()
    if checkpoints_folder is not None:
        checkpoints = FolderCheckpoints(
            checkpoints_folder,
            parts,
            identity=identity,
            save_every_s=save_every_s,
            ranked=state.ranked_steps,
            settle=looking.settled,
            ranks=ranks,
        )
    return Session(
        task=task,
        data=data,
        updates=updates,
        plan=plan,
        state=state,
        precision=precision,
        randomness=randomness,
        metrics=metrics,
        stopping=stopping,
        checkpoints=checkpoints,
        observers=looking,
        ranks=ranks,
        averages=averages,
        frozen=frozen or NothingFrozen(),
        sets=sets or {},
    )
