"""One run, from its configuration to what it leaves behind."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from runner import determinism, digest, initial
from runner.checkpoint import FolderCheckpoints, NotSaved
from runner.composition import Composed, compile_networks, compose, facts, facts_of_the_start
from runner.config import build
from runner.interrupt import stops_on_signals
from runner.manner import Manner
from runner.numerics import numerics, resolve_device
from runner.observers import digests
from runner.observers.observer import Outcome, RunInfo
from runner.problem import Failed, Interrupted
from runner.results.manifest import RunRecord
from runner.results.summary import layer_table
from runner.session import Session
from runner.state import NonFiniteLoss, State
from runner.tasks.task import Task

log = logging.getLogger(__name__)


def run(cfg: DictConfig, folder: Path, *, name: str, manner: Manner | None = None) -> dict[str, float]:
    """Train what ``cfg`` describes and leave the results in ``folder``; the final scores, empty when left off before.

    Raises ``Interrupted`` when it was asked to stop (its state is saved), and whatever made it fail; ``status.json``
    says which.
    """
    manner = manner or Manner()
    trainer = cfg.trainer
    device = resolve_device(trainer.device)
    threads = manner.threads if trainer.threads is None else trainer.threads
    with numerics(device, threads=threads, tf32=trainer.tf32, deterministic=trainer.deterministic):
        record = RunRecord(
            folder,
            config=build.plain(cfg),
            facts={"name": name, "seed": cfg.seed, "device": str(device)},
            resume=manner.resume,
        )
        state = State(directions={f"valid/{metric}": which for metric, which in trainer.best.items()})
        try:
            if cfg.debug.determinism:
                return _examined(cfg, record, device)
            with stops_on_signals(state):
                return _train(_started(cfg, record, name, device, state, manner), record)
        except BaseException as error:
            _record_failure(record, state, error)
            if isinstance(error, SystemExit):  # would end a sweep, and say nothing
                raise Failed(f"the run called sys.exit({error.code})") from error
            raise


def _record_failure(record: RunRecord, state: State, error: BaseException) -> None:
    interrupted = isinstance(error, KeyboardInterrupt)
    reason = str(error) or ("interrupted at once" if interrupted else type(error).__name__)
    if not interrupted:
        log.info("the run failed", exc_info=True)  # to runner.log; the terminal gets the message
    try:
        how = "interrupted" if interrupted else "failed"
        record.end(how, step=state.step, reason=reason, best=state.best, evaluations=_evaluations(record.folder))
    except OSError as second:  # a full disk: the first error is the one to tell
        log.warning("%s could not be brought up to date: %s", record.folder / "status.json", second)


def _train(session: Session, record: RunRecord) -> dict[str, float]:
    outcome = Outcome("failed", 0, {})
    state = session.state
    try:
        session.train()
        _heed(state)
        if state.goes_on(session.plan.total_steps):
            outcome = Outcome("interrupted", state.step, {}, "left off there, as asked")
            record.end("interrupted", step=state.step, reason=outcome.reason, evaluations=_evaluations(record.folder))
            return {}
        scores = session.evaluate("test", state.step)
        _heed(state)  # asked during the last evaluation: a sweep must hear of it, too
        _record_completion(session, record, scores)
        outcome = Outcome("completed", state.step, scores, state.ended)
        return scores
    except NonFiniteLoss as error:
        outcome = Outcome("failed", state.step, {}, str(error))
        raise Failed(_diverged(error, session, record.folder)) from error
    except (NotSaved, OSError) as error:
        outcome = Outcome("failed", state.step, {}, str(error))
        raise Failed(_unwritten(error, session, record.folder)) from error
    except Exception as error:
        outcome = Outcome("failed", state.step, {}, str(error))
        raise
    except KeyboardInterrupt as error:
        outcome = Outcome("interrupted", state.step, {}, str(error) or "interrupted at once")
        raise
    finally:
        session.observers.finished(outcome)


def _record_completion(session: Session, record: RunRecord, scores: dict[str, float]) -> None:
    record.end(
        "completed",
        step=session.state.step,
        reason=session.state.ended,
        metrics=scores,
        tables={f"test/{name}": table.tolist() for name, table in session.metrics.arrays().items()},
        best=session.state.best,
        evaluations=_evaluations(record.folder),
        weights_sha256=digest.of_weights(session.task),
    )


def _heed(state: State) -> None:
    if state.stop:
        raise Interrupted(state.stop)


def _evaluations(folder: Path) -> list[dict[str, Any]]:
    kept = ("step", "weights_sha256", "metrics_sha256")
    return [{key: line[key] for key in kept} for line in digests.read(folder)]


def _diverged(error: NonFiniteLoss, session: Session, folder: Path) -> str:
    epoch, batch = session.plan.position(session.state.step)
    last = folder / "checkpoints" / "last.pt"
    kept = f"the last good state is {last}" if last.is_file() else "no checkpoint was written before it"
    where = f"at step {session.state.step + 1} (epoch {epoch}, batch {batch})"
    return f"{error} {where}; {kept}; try a lower optimizer.lr or trainer.clip_norm=1"


def _unwritten(error: NotSaved | OSError, session: Session, folder: Path) -> str:
    kept = "" if isinstance(error, NotSaved) else f"; {_checkpoints(session).kept()}"
    return f"{error}{kept}; when the cause is gone, go on with: python -m runner resume {folder}"


def _checkpoints(session: Session) -> FolderCheckpoints:
    assert isinstance(session.checkpoints, FolderCheckpoints), "a run has a folder"
    return session.checkpoints


def _started(
    cfg: DictConfig, record: RunRecord, name: str, device: torch.device, state: State, manner: Manner
) -> Session:
    """All that ``cfg`` describes, at the first step or where the newest checkpoint stands; observers are told."""
    folder = record.folder
    observers = [digests.Digests(), *build.build_observers(cfg)]
    made = compose(cfg, device=device, state=state, observers=observers, checkpoints_folder=folder / "checkpoints")
    session = made.session
    session.plan = session.plan.until(manner.until_steps)
    if not (manner.resume and _checkpoints(session).restore() is not None):
        _begin(cfg, made, record)
    record.manifest |= facts(made)
    record.session["first_step"] = state.step
    record.save()
    compile_networks(session.task, cfg.trainer.compile)
    session.observers.started(_info(cfg, folder, name, made))
    return session


def _begin(cfg: DictConfig, made: Composed, record: RunRecord) -> None:
    task = made.session.task
    record.manifest |= _load_weights(cfg, task)
    record.manifest |= facts_of_the_start(made)
    (record.folder / "summary.txt").write_text(layer_table(task, made.sample))


def _load_weights(cfg: DictConfig, task: Task) -> dict[str, Any]:
    if cfg.init_from is None:
        return {}
    return initial.start_from(task, cfg.init_from, prefix=cfg.init_prefix, pattern=cfg.init_pattern)


def _examined(cfg: DictConfig, record: RunRecord, device: torch.device) -> dict[str, float]:
    """``debug=determinism``: nothing is trained."""

    def make() -> Session:
        session = compose(cfg, device=device, state=State()).session
        _load_weights(cfg, session.task)
        compile_networks(session.task, cfg.trainer.compile)
        return session

    report = determinism.examine(make)
    (record.folder / "determinism.txt").write_text(report.text() + "\n")
    print(report.text())
    record.end("completed", step=0)
    return {}


def _info(cfg: DictConfig, folder: Path, name: str, made: Composed) -> RunInfo:
    session = made.session
    return RunInfo(
        name=name,
        folder=folder,
        task=session.task,
        plan=session.plan,
        first_step=session.state.step,
        config_text=OmegaConf.to_yaml(cfg, resolve=True),
        hparams=build.flat(cfg),
        sample=made.sample,
        mean=made.splits.mean,
        std=made.splits.std,
    )
