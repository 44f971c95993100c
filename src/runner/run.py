"""One run, from its configuration to what it leaves behind."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from runner import digest
from runner.checkpoint import FolderCheckpoints, NotSaved
from runner.composition import Composed, compile_networks, compose, facts, facts_of_the_start, first_weights
from runner.config import build
from runner.finding import rate
from runner.interrupt import stops_on_signals
from runner.manner import Manner
from runner.numerics import numerics, resolve_device
from runner.observers import digests
from runner.observers.observer import Observer, Outcome, RunInfo
from runner.problem import Failed, Interrupted
from runner.ranks import Alone, Ranked
from runner.results.manifest import RunRecord
from runner.results.summary import SAMPLES, layer_table
from runner.search import pruning
from runner.session import Session
from runner.state import NonFiniteLoss, State

log = logging.getLogger(__name__)


def run(
    cfg: DictConfig,
    folder: Path,
    *,
    name: str,
    manner: Manner | None = None,
    observers: Sequence[Observer] = (),
    ranks: Ranked | None = None,
) -> dict[str, float]:
    """Train what ``cfg`` describes and leave the results in ``folder``; the final scores, empty when left off before.

    ``observers`` look on besides those of ``logger``. Of several ``ranks`` this is the first; the others ``accompany``
    it.

    Raises ``Interrupted`` when it was asked to stop (its state is saved), and whatever made it fail; ``status.json``
    says which.
    """
    manner, ranks = manner or Manner(), ranks or Alone()
    trainer = cfg.trainer
    device = ranks.device(resolve_device(trainer.device))
    with _numerics(cfg, device, manner):
        record = RunRecord(
            folder,
            config=build.plain(cfg),
            facts={"name": name, "seed": cfg.seed, "device": str(device)},
            resume=manner.resume,
        )
        state = _state(cfg)
        try:
            if cfg.debug.determinism:
                return _examined(cfg, record, device)
            with stops_on_signals(ranks.hears(state), again_after_s=ranks.again_after_s):
                return _train(_started(cfg, record, device, state, manner, observers, ranks), record)
        except BaseException as error:
            exited = Failed(f"the run called sys.exit({error.code})") if isinstance(error, SystemExit) else error
            told = ranks.cause(exited)
            with ranks.recording():
                _record_failure(record, state, told)
            if told is not error:  # it would end a sweep, and say nothing
                raise told from error
            raise


def accompany(cfg: DictConfig, folder: Path, *, manner: Manner, ranks: Ranked) -> None:
    """Train together with the first rank, which runs ``cfg`` in ``folder``, as one of the others: nothing is written.

    Raises as ``run`` does.
    """
    device, state = ranks.device(resolve_device(cfg.trainer.device)), _state(cfg)
    try:
        with (
            _numerics(cfg, device, manner),
            stops_on_signals(ranks.hears(state), again_after_s=ranks.again_after_s),
        ):
            session = _made(cfg, folder, device, state, manner, (), ranks).session
            if manner.resume:
                _checkpoints(session).restore()
            compile_networks(session.task, cfg.trainer.compile)
            with _explained(session, folder):
                _watched(session)
    except BaseException as error:
        ranks.cause(error)
        raise


def _numerics(cfg: DictConfig, device: torch.device, manner: Manner) -> AbstractContextManager[None]:
    trainer = cfg.trainer
    threads = manner.threads if trainer.threads is None else trainer.threads
    return numerics(device, threads=threads, tf32=trainer.tf32, deterministic=trainer.deterministic)


def _state(cfg: DictConfig) -> State:
    directions = {f"valid/{metric}": which for metric, which in cfg.trainer.best.items()}
    return State(directions, cfg.trainer.keep_best)


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
    with _explained(session, record.folder):
        outcome = _watched(session)
        # Last: a run that is recorded as completed has left all that it leaves, whenever it was killed.
        _record(outcome, session, record)
        return dict(outcome.metrics)


def _watched(session: Session) -> Outcome:
    """Train, and score what came out; the observers know it by the end."""
    state = session.state
    outcome = Outcome("failed", 0, {})
    try:
        session.train()
        _heed(session)
        if state.goes_on(session.plan.total_steps):
            outcome = Outcome("interrupted", state.step, {}, "left off there, as asked")
        else:
            scores = session.evaluate("test", state.step)
            _heed(session)  # asked during the last evaluation: a sweep must hear of it, too
            outcome = Outcome("completed", state.step, scores, state.ended, session.tables)
        return outcome
    except Exception as error:
        outcome = Outcome("failed", state.step, {}, str(session.ranks.cause(error)))
        raise
    except KeyboardInterrupt as error:
        outcome = Outcome("interrupted", state.step, {}, str(error) or "interrupted at once")
        raise
    finally:
        session.observers.finished(outcome)


@contextmanager
def _explained(session: Session, folder: Path) -> Iterator[None]:
    """Errors of training become ``Failed``, with what to do about them."""
    try:
        yield
    except NonFiniteLoss as error:
        raise Failed(_diverged(error, session, folder)) from error
    except (NotSaved, OSError) as error:
        raise Failed(_unwritten(error, session, folder)) from error


def _record(outcome: Outcome, session: Session, record: RunRecord) -> None:
    facts: dict[str, Any] = {"evaluations": _evaluations(record.folder)}
    if outcome.state == "completed":
        facts |= {
            "metrics": dict(outcome.metrics),
            "tables": {name: table.tolist() for name, table in outcome.tables.items()},
            "best": session.state.best,
            "weights_sha256": digest.of_weights(session.task),
        }
    record.end(outcome.state, step=outcome.step, reason=outcome.reason, **facts)


def _heed(session: Session) -> None:
    session.ranks.agree()
    if session.state.stop:
        raise Interrupted(session.state.stop)


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
    cfg: DictConfig,
    record: RunRecord,
    device: torch.device,
    state: State,
    manner: Manner,
    observers: Sequence[Observer],
    ranks: Ranked,
) -> Session:
    """All that ``cfg`` describes, at the first step or where the newest checkpoint stands; observers are told."""
    watching = [digests.Digests(), *build.build_observers(cfg), *observers]
    found = rate.found(cfg, record, device=device)
    made = _made(cfg, record.folder, device, state, manner, watching, ranks, found)
    session = made.session
    if not (manner.resume and _checkpoints(session).restore() is not None):
        _begin(cfg, made, record)
    record.manifest |= facts(made)
    record.session["first_step"] = state.step
    record.save()
    compile_networks(session.task, cfg.trainer.compile)
    session.observers.started(_info(cfg, record, made))
    return session


def _made(
    cfg: DictConfig,
    folder: Path,
    device: torch.device,
    state: State,
    manner: Manner,
    observers: Sequence[Observer],
    ranks: Ranked,
    found: Mapping[str, Any] | None = None,
) -> Composed:
    made = compose(
        cfg,
        device=device,
        state=state,
        observers=observers,
        checkpoints_folder=folder / "checkpoints",
        ranks=ranks,
        found=found,
    )
    made.session.plan = made.session.plan.until(manner.until_steps)
    made.session.stopping.rules.update(pruning.rules_of(folder))
    return made


def _begin(cfg: DictConfig, made: Composed, record: RunRecord) -> None:
    task = made.session.task
    record.manifest |= first_weights(cfg, made)
    record.manifest |= facts_of_the_start(made)
    made.session.frozen.begin(0)
    (record.folder / "summary.txt").write_text(layer_table(task, made.sample, samples=SAMPLES))


def _examined(cfg: DictConfig, record: RunRecord, device: torch.device) -> dict[str, float]:
    """``debug=determinism``: nothing is trained."""
    from runner import determinism

    def make() -> Session:
        made = compose(build.tentative(cfg), device=device, state=State())
        first_weights(cfg, made)
        compile_networks(made.session.task, cfg.trainer.compile)
        return made.session

    report = determinism.examine(make)
    (record.folder / "determinism.txt").write_text(report.text() + "\n")
    print(report.text())
    record.end("completed", step=0)
    return {}


def _info(cfg: DictConfig, record: RunRecord, made: Composed) -> RunInfo:
    session = made.session
    return RunInfo(
        name=record.manifest["name"],
        folder=record.folder,
        task=session.task,
        plan=session.plan,
        first_step=session.state.step,
        config_text=OmegaConf.to_yaml(cfg, resolve=True),
        hparams=build.flat(cfg) | record.manifest.get("found", {}),
        sample=made.sample,
        mean=made.splits.mean,
        std=made.splits.std,
        class_names=made.splits.class_names,
        optimizers={name: update.optimizer for name, update in session.updates.items()},
        best=session.state.best,
    )
