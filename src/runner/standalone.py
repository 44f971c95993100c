"""Training without a configuration: objects in, a result out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from runner.checkpoint import FolderCheckpoints
from runner.data.loaders import Given, LoaderData
from runner.lock import held
from runner.metrics import Metrics
from runner.numerics import numerics, resolve_device
from runner.observers.observer import EvaluationRecord, Observer, Outcome, RunInfo, StepRecord
from runner.optim import Constant, Scheduler, wrap
from runner.plan import Plan
from runner.precision import Precision
from runner.randomness import Randomness
from runner.session import Session, assemble, make_updates
from runner.state import Direction, State
from runner.tasks.task import Task

if TYPE_CHECKING:
    from torchmetrics import Metric

Optimizers = torch.optim.Optimizer | Mapping[str, torch.optim.Optimizer]


@dataclass
class Result:
    """What a training came to. The task holds the final weights."""

    metrics: dict[str, float]  # {"test/accuracy": …}, or the last evaluation's when there is no test part
    history: list[dict[str, float]] = field(default_factory=list)  # one entry an evaluation
    steps: int = 0


class _History:
    """Keeps what each evaluation measured."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def started(self, run: RunInfo) -> None: ...

    def logged(self, record: StepRecord) -> None: ...

    def evaluated(self, record: EvaluationRecord) -> None:
        self.rows.append({"step": record.step, "epoch": record.epoch, **record.metrics})

    def finished(self, outcome: Outcome) -> None: ...


def train(
    task: Task,
    optimizer: Optimizers,
    data: Given,
    *,
    valid: Given | None = None,
    test: Given | None = None,
    epochs: float | None = None,
    steps: int | None = None,
    evaluate_every_epochs: float | None = None,
    evaluate_every_steps: int | None = None,
    batch_size: int = 64,
    eval_batch_size: int = 512,
    micro_batches: int = 1,
    schedule: Callable[[torch.optim.Optimizer], Scheduler | torch.optim.lr_scheduler.LRScheduler] | None = None,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    metrics: Mapping[str, Metric] | None = None,
    best: Mapping[str, Direction] | None = None,
    keep_best: int = 1,
    observers: Sequence[Observer] = (),
    folder: Path | str | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
) -> Result:
    """Train ``task`` on ``data``: tensors ``(images, labels)``, kept on the device, or a ``DataLoader``.

    ``optimizer`` is one, or one for each network of the task by name. ``schedule`` makes its schedule from it; a bare
    torch scheduler advances once a step. With ``folder``, checkpoints and whatever the observers write go there; a
    training that stands there half done goes on where it stopped. Raises ``ValueError`` for settings that do not fit.
    """
    state = _state(best or {}, keep_best=keep_best, judged=valid is not None)
    where = resolve_device(device)
    randomness = Randomness(seed)
    loaded = LoaderData.of(
        data,
        valid=valid,
        test=test,
        randomness=randomness,
        batch_size=batch_size,
        eval_batch_size=eval_batch_size,
        device=where,
    )
    plan = Plan.of(
        loaded.steps_per_epoch,
        epochs=epochs,
        steps=steps,
        evaluate_every_epochs=evaluate_every_epochs,
        evaluate_every_steps=evaluate_every_steps,
    )
    amp = Precision(precision, device=where, micro_batches=micro_batches)
    task.to(where)
    updates = make_updates(
        task,
        _by_network(task, optimizer),
        schedule=_as_schedule(schedule),
        precision=amp,
        clip_norm=clip_norm,
        clip_value=clip_value,
    )
    root, history = (Path(folder) if folder is not None else None), _History()
    session = assemble(
        task,
        loaded,
        updates=updates,
        plan=plan,
        state=state,
        precision=amp,
        randomness=randomness,
        metrics=Metrics(dict(metrics or {})).to(where),
        observers=[history, *observers],
        checkpoints_folder=None if root is None else root / "checkpoints",
        identity={"seed": seed, "batch_size": batch_size, "micro_batches": micro_batches, "precision": amp.name},
    )
    with _alone_in(root), numerics(where):
        return _trained(session, history, root)


def _alone_in(folder: Path | None) -> AbstractContextManager[None]:
    if folder is None:
        return nullcontext()
    folder.mkdir(parents=True, exist_ok=True)
    return held(folder)


def _state(best: Mapping[str, Direction], *, keep_best: int, judged: bool) -> State:
    if best and not judged:
        raise ValueError(f"best={dict(best)} is measured on the validation part, and there is none; give valid=")
    if keep_best < 1:
        raise ValueError(f"keep_best must be at least 1, got {keep_best}; without best nothing is chosen")
    return State({f"valid/{name}": direction for name, direction in best.items()}, keep_best)


def _by_network(task: Task, optimizer: Optimizers) -> dict[str, torch.optim.Optimizer]:
    if isinstance(optimizer, Mapping):
        return dict(optimizer)
    return dict.fromkeys(list(task.networks())[:1], optimizer)


def _trained(session: Session, history: _History, folder: Path | None) -> Result:
    if isinstance(session.checkpoints, FolderCheckpoints):
        session.checkpoints.restore()
    name = type(session.task).__name__
    optimizers = {name: update.optimizer for name, update in session.updates.items()}
    state = session.state
    about = RunInfo(name, folder, session.task, session.plan, state.step, optimizers=optimizers, best=state.best)
    session.observers.started(about)
    outcome = Outcome("failed", 0, {})
    try:
        session.train()
        scores = session.evaluate("test", session.state.step)
        if not scores and history.rows:
            scores = {name: value for name, value in history.rows[-1].items() if "/" in name}
        outcome = Outcome("completed", session.state.step, scores)
        return Result(scores, history.rows, session.state.step)
    finally:
        session.observers.finished(outcome)


def _as_schedule(
    schedule: Callable[[torch.optim.Optimizer], Scheduler | torch.optim.lr_scheduler.LRScheduler] | None,
) -> Callable[[torch.optim.Optimizer], Scheduler]:
    def make(optimizer: torch.optim.Optimizer) -> Scheduler:
        made = Constant() if schedule is None else schedule(optimizer)
        return wrap(made) if isinstance(made, torch.optim.lr_scheduler.LRScheduler) else made

    return make
