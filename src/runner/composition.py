"""From a configuration to a session: each part built from its own random numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from runner import digest, initial
from runner.batch import Batch, tensors
from runner.config import build
from runner.config.identity import identity
from runner.data.data import Data
from runner.data.source import Splits
from runner.data.spec_record import recorded
from runner.observers.observer import Observer
from runner.plan import Plan
from runner.precision import Precision
from runner.randomness import Randomness
from runner.ranks import Alone, Ranked
from runner.session import Session, assemble, make_updates
from runner.state import State
from runner.stopping import Rules
from runner.tasks.task import Task


@dataclass(frozen=True)
class Composed:
    """A session that stands at step 0, and what it was made of."""

    session: Session
    splits: Splits
    data: Data
    sample: Batch  # a fixed validation batch, prepared for the model


def compose(
    cfg: DictConfig,
    *,
    device: torch.device,
    state: State,
    observers: Sequence[Observer] = (),
    checkpoints_folder: Path | None = None,
    ranks: Ranked | None = None,
    found: Mapping[str, Any] | None = None,
) -> Composed:
    """Build all that ``cfg`` describes, for one of ``ranks``. Nothing is restored, and nothing written.

    ``found`` are values by dotted key for what ``cfg`` leaves to be found. They follow from it, so they are no part of
    the identity that checkpoints keep.
    """
    asked, cfg = identity(cfg), build.with_values(cfg, found) if found else cfg
    trainer, ranks = cfg.trainer, ranks or Alone()
    randomness = Randomness(cfg.seed)
    splits = build.load_splits(cfg)
    randomness.seed_process()  # data that were loaded before draw nothing: what follows must not depend on it
    data = _data(cfg, splits, device, randomness, ranks)
    budget = make_plan(trainer, data.steps_per_epoch)
    precision = Precision(trainer.precision, device=device, micro_batches=trainer.micro_batches)
    task = _task(cfg, splits, device, randomness)
    ranks.join(task.networks().values(), samples_at=data.samples_at, look_every_steps=trainer.log_every_steps)
    updates = make_updates(
        task,
        build.build_optimizers(cfg, task),
        schedule=build.scheduler_factory(cfg, budget),
        precision=precision,
        clip_norm=trainer.clip_norm,
        clip_value=trainer.clip_value,
        ranks=ranks,
    )
    session = assemble(
        task,
        data,
        updates=updates,
        plan=budget.cut(cfg.debug.steps),
        state=state,
        precision=precision,
        randomness=randomness.of_rank(ranks.rank),
        metrics=build.build_metrics(cfg, splits, ranks).to(device),
        stopping=Rules(build.build_stopping(cfg)),
        observers=observers,
        checkpoints_folder=checkpoints_folder,
        identity={**asked, "trainer.precision": precision.name, "the data's sha256": splits.digest},
        save_every_s=trainer.save_every_s,
        ema_decay=trainer.ema_decay,
        frozen=build.build_frozen(cfg, task, budget),
        ranks=ranks,
        sets=splits.sets,
    )
    return Composed(session, splits, data, data.first("valid"))


def first_weights(cfg: DictConfig, made: Composed) -> dict[str, Any]:
    """What weights begin with besides random numbers: the data, what a library publishes, and then a file, which wins.

    What the manifest says.
    """
    task = made.session.task
    initial.show_data(task, made.splits)
    facts = initial.load_published(task)
    for loaded in facts.get("pretrained", {}).values():
        print(loaded["report"])
    if cfg.init_from is not None:
        facts |= initial.start_from(task, cfg.init_from, prefix=cfg.init_prefix, pattern=cfg.init_pattern)
        print(facts["init"]["report"])
    return facts


def compile_networks(task: Task, mode: str) -> None:
    """``mode`` is one of ``trainer.compile``.

    Each shape has code of its own: torch would otherwise make code for any shape once it has seen a second one, so that
    what a step computes depended on the steps before it, and a resumed run gave other bits.
    """
    if mode != "off":
        for network in task.networks().values():
            network.compile(mode=None if mode == "default" else mode, dynamic=False)


def store_channels_last(task: Task) -> None:
    """The channels of a place are neighbours in memory, in kernels of images and of volumes."""
    layouts = {4: torch.channels_last, 5: torch.channels_last_3d}
    for tensor in (*task.parameters(), *task.buffers()):
        if tensor.ndim in layouts:
            tensor.data = tensor.data.to(memory_format=layouts[tensor.ndim])


def share_batch_norm(task: Task) -> None:
    """Batch norm takes the statistics of the whole batch instead of one rank's rows. Weights keep their names."""
    for name, network in task.networks().items():
        setattr(task, name, torch.nn.SyncBatchNorm.convert_sync_batchnorm(network))  # type: ignore[no-untyped-call]


def make_plan(trainer: Any, steps_per_epoch: int) -> Plan:
    """The timetable that ``trainer`` asks for: a cadence in steps replaces the one in epochs."""
    durations: dict[str, Any] = {}
    for prefix in ("", "evaluate_every_", "save_every_"):
        unit = "epochs" if trainer[f"{prefix}steps"] is None else "steps"
        durations[f"{prefix}{unit}"] = trainer[f"{prefix}{unit}"]
    return Plan.of(steps_per_epoch, log_every_steps=trainer.log_every_steps, **durations)


def facts(made: Composed) -> dict[str, Any]:
    """What the manifest says of the parts."""
    session, data, splits = made.session, made.data, made.splits
    return {
        "data": {
            "sha256": splits.digest,
            "sizes": {part: data.size(part) for part in ("train", "valid", "test")},
            "mean": list(splits.mean),
            "std": list(splits.std),
            "resident": data.places,
            "spec": recorded(splits.spec),
            "class_names": list(splits.class_names),
            **splits.notes,
        },
        "precision": session.precision.name,
        "threads": torch.get_num_threads(),
        "world_size": session.ranks.world_size,
        "steps": session.plan.total_steps,
        "steps_per_epoch": session.plan.steps_per_epoch,
        "parameters": sum(parameter.numel() for parameter in session.task.parameters()),
    }


def facts_of_the_start(made: Composed) -> dict[str, str]:
    """Digests of what training begins with, while the session stands at step 0."""
    return {
        "initial_weights_sha256": digest.of_weights(made.session.task),
        "first_batch_sha256": digest.of_tensors(tensors(made.data.first("train"))),
    }


def _data(cfg: DictConfig, splits: Splits, device: torch.device, randomness: Randomness, ranks: Ranked) -> Data:
    return Data(
        splits,
        device=device,
        batch_size=cfg.trainer.batch_size,
        eval_batch_size=cfg.trainer.eval_batch_size,
        augmentation=None if cfg.debug.train_only else build.build_augmentation(cfg),
        randomness=randomness,
        resident=cfg.trainer.resident,
        workers=cfg.trainer.workers,
        channels_last=cfg.trainer.channels_last,
        ranks=ranks,
    )


def _task(cfg: DictConfig, splits: Splits, device: torch.device, randomness: Randomness) -> Task:
    randomness.reseed("initial weights", 0)
    model = build.build_model(cfg, splits.spec)
    task = build.build_task(cfg, model, build.build_loss(cfg, splits.spec), splits)
    if cfg.trainer.sync_batchnorm:
        share_batch_norm(task)
    task.to(device)
    if cfg.trainer.channels_last:
        store_channels_last(task)
    return task
