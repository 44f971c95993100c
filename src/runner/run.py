"""One run, from its configuration to what it leaves behind."""

from __future__ import annotations

import hashlib
import itertools
import logging
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from runner.batch import Batch
from runner.config import build
from runner.data.data import Data
from runner.data.source import Splits
from runner.interrupt import stops_on_signals
from runner.numerics import numerics, resolve_device
from runner.observers.observer import Outcome, RunInfo
from runner.plan import Plan
from runner.precision import Precision
from runner.problem import Failed, Interrupted
from runner.randomness import Randomness
from runner.results.manifest import RunRecord
from runner.results.summary import layer_table
from runner.session import Session, assemble, make_updates
from runner.state import NonFiniteLoss, State
from runner.tasks.task import Task

log = logging.getLogger(__name__)


def run(cfg: DictConfig, folder: Path, *, name: str) -> dict[str, float]:
    """Train what ``cfg`` describes and leave the results in ``folder``; the final scores.

    Raises ``Interrupted`` when it was asked to stop (its state is saved), and whatever made it fail; ``status.json``
    says which.
    """
    device = resolve_device(cfg.trainer.device)
    with numerics(device, threads=cfg.trainer.threads, tf32=cfg.trainer.tf32, deterministic=cfg.trainer.deterministic):
        record = RunRecord(
            folder, config=build.plain(cfg), facts={"name": name, "seed": cfg.seed, "device": str(device)}
        )
        state = State(directions={f"valid/{metric}": which for metric, which in cfg.trainer.best.items()})
        try:
            with stops_on_signals(state):
                session, facts = _session(cfg, folder, name, device, state)
                record.manifest |= facts
                return _train(session, record)
        except BaseException as error:
            interrupted = isinstance(error, KeyboardInterrupt)
            reason = str(error) or ("interrupted at once" if interrupted else type(error).__name__)
            if not interrupted:
                log.info("the run failed", exc_info=True)  # to runner.log; the terminal gets the message
            record.end("interrupted" if interrupted else "failed", step=state.step, reason=reason, best=state.best)
            if isinstance(error, SystemExit):  # would end a sweep, and say nothing
                raise Failed(f"the run called sys.exit({error.code})") from error
            raise


def _train(session: Session, record: RunRecord) -> dict[str, float]:
    outcome = Outcome("failed", 0, {})
    state = session.state
    try:
        session.train()
        _heed(state)
        scores = session.evaluate("test", state.step)
        _heed(state)  # asked during the last evaluation: a sweep must hear of it, too
        tables = {f"test/{name}": table.tolist() for name, table in session.metrics.arrays().items()}
        facts: dict[str, Any] = {
            "metrics": scores,
            "tables": tables,
            "best": state.best,
            "weights_sha256": digest(session.task),
        }
        record.end("completed", step=state.step, **facts)
        outcome = Outcome("completed", state.step, scores)
        return scores
    except NonFiniteLoss as error:
        outcome = Outcome("failed", state.step, {}, str(error))
        raise Failed(_diverged(error, session, record.folder)) from error
    except Exception as error:
        outcome = Outcome("failed", state.step, {}, str(error))
        raise
    except KeyboardInterrupt as error:
        outcome = Outcome("interrupted", state.step, {}, str(error) or "interrupted at once")
        raise
    finally:
        session.observers.finished(outcome)


def _heed(state: State) -> None:
    if state.stop:
        raise Interrupted(state.stop)


def _diverged(error: NonFiniteLoss, session: Session, folder: Path) -> str:
    epoch, batch = session.plan.position(session.state.step)
    last = folder / "checkpoints" / "last.pt"
    kept = f"the last good state is {last}" if last.is_file() else "no checkpoint was written before it"
    where = f"at step {session.state.step + 1} (epoch {epoch}, batch {batch})"
    return f"{error} {where}; {kept}; try a lower optimizer.lr or trainer.clip_norm=1"


def _session(
    cfg: DictConfig, folder: Path, name: str, device: torch.device, state: State
) -> tuple[Session, dict[str, Any]]:
    """Build all that ``cfg`` describes, each part from its own random numbers; and what the manifest should know."""
    trainer = cfg.trainer
    randomness = Randomness(cfg.seed)
    randomness.seed_process()
    splits = build.load_splits(cfg)
    data = _data(cfg, splits, device, randomness)
    budget = make_plan(trainer, data.steps_per_epoch)
    plan = budget.cut(cfg.debug.steps)
    precision = Precision(trainer.precision, device=device, micro_batches=trainer.micro_batches)
    task = _task(cfg, splits, device, randomness)
    updates = make_updates(
        task,
        build.build_optimizers(cfg, task),
        schedule=build.scheduler_factory(cfg, budget),
        precision=precision,
        clip_norm=trainer.clip_norm,
        clip_value=trainer.clip_value,
    )
    sample = next(data.part("valid"))
    (folder / "summary.txt").write_text(layer_table(task, sample))
    if trainer.compile != "off":
        for network in task.networks().values():
            network.compile(mode=None if trainer.compile == "default" else trainer.compile)
    session = assemble(
        task,
        data,
        updates=updates,
        plan=plan,
        state=state,
        precision=precision,
        randomness=randomness,
        metrics=build.build_metrics(cfg, splits.spec).to(device),
        observers=build.build_observers(cfg),
        checkpoints_folder=folder / "checkpoints",
    )
    session.observers.started(_info(cfg, folder, name, session, splits, sample))
    return session, _facts(splits, data, plan, precision, task)


def _data(cfg: DictConfig, splits: Splits, device: torch.device, randomness: Randomness) -> Data:
    return Data(
        splits,
        device=device,
        batch_size=cfg.trainer.batch_size,
        eval_batch_size=cfg.trainer.eval_batch_size,
        augmentation=None if cfg.debug.train_only else build.build_augmentation(cfg),
        randomness=randomness,
        resident=cfg.trainer.resident,
        workers=cfg.trainer.workers,
    )


def _task(cfg: DictConfig, splits: Splits, device: torch.device, randomness: Randomness) -> Task:
    randomness.reseed("initial weights", 0)
    model = build.build_model(cfg, splits.spec)
    task = build.build_task(cfg, model, build.build_loss(cfg, splits.spec))
    layout = torch.channels_last if cfg.trainer.channels_last else torch.preserve_format
    task.to(device, memory_format=layout)  # type: ignore[call-overload]
    return task


def _info(cfg: DictConfig, folder: Path, name: str, session: Session, splits: Splits, sample: Batch) -> RunInfo:
    return RunInfo(
        name=name,
        folder=folder,
        task=session.task,
        plan=session.plan,
        first_step=session.state.step,
        config_text=OmegaConf.to_yaml(cfg, resolve=True),
        hparams=build.flat(cfg),
        sample=sample,
        mean=splits.mean,
        std=splits.std,
    )


def make_plan(trainer: Any, steps_per_epoch: int) -> Plan:
    """The timetable that ``trainer`` asks for: a cadence in steps replaces the one in epochs."""
    durations: dict[str, Any] = {}
    for prefix in ("", "evaluate_every_", "save_every_"):
        unit = "epochs" if trainer[f"{prefix}steps"] is None else "steps"
        durations[f"{prefix}{unit}"] = trainer[f"{prefix}{unit}"]
    return Plan.of(steps_per_epoch, log_every_steps=trainer.log_every_steps, **durations)


def _facts(splits: Splits, data: Data, plan: Plan, precision: Precision, task: Task) -> dict[str, Any]:
    return {
        "data": {
            "sha256": splits.digest,
            "sizes": {part: data.size(part) for part in ("train", "valid", "test")},
            "mean": list(splits.mean),
            "std": list(splits.std),
            **splits.notes,
        },
        "precision": precision.name,
        "threads": torch.get_num_threads(),
        "steps": plan.total_steps,
        "parameters": sum(parameter.numel() for parameter in task.parameters()),
    }


def digest(module: torch.nn.Module) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of all weights and buffers."""
    total = hashlib.sha256()
    for name, tensor in itertools.chain(module.named_parameters(), module.named_buffers()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
