"""One run in several processes on this machine: this one starts them, waits, and says how it ended."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from runner.interrupt import handled_by
from runner.manner import Manner
from runner.problem import Failed, Interrupted, reason_of
from runner.ranks import Ranks, Store, log_of
from runner.results.manifest import read_json, write_json, write_status
from runner.torchrun import Work, accompanied, joined

if TYPE_CHECKING:
    from torch.multiprocessing.spawn import ProcessContext

    from runner.observers.observer import Observer

log = logging.getLogger(__name__)

OUTCOME = "runner/outcome"  # in the store: how the run ended, from the first rank
GRACE_S = 10.0  # from the end of one rank to that of the others
LOOPBACK = "127.0.0.1"


def launched(
    cfg: DictConfig,
    folder: Path,
    *,
    manner: Manner,
    observers: Sequence[Observer],
    job_logging: Mapping[Any, Any],
) -> dict[str, float]:
    """Run ``cfg`` in ``trainer.nproc`` processes, of which the first leaves the results; its scores.

    ``observers`` and ``job_logging`` (of ``logging.config``) go to the first rank. SIGINT and SIGTERM are passed on:
    all stop after the same step. Raises as ``run`` does; a rank that fails, or dies, ends all of them.
    """
    from torch.distributed import TCPStore  # type: ignore[attr-defined]
    from torch.multiprocessing.spawn import start_processes

    store = TCPStore(LOOPBACK, 0, is_master=True, wait_for_workers=False)
    work = Work(OmegaConf.to_yaml(cfg), folder, manner)
    nproc, first = cfg.trainer.nproc, (list(observers), dict(job_logging))
    signals = _Signals()
    with handled_by(signals.note):
        context = start_processes(  # type: ignore[no-untyped-call]
            _rank, (nproc, store.port, work, first), nprocs=nproc, join=False, start_method="spawn"
        )
        signals.pids = context.pids()
        signals.catch_up()
        death = _death(context)
    outcome = json.loads(store.get(OUTCOME)) if store.check([OUTCOME]) else {"state": "none"}
    return _concluded(outcome, death, folder, asked=signals.names)


def _concluded(outcome: Mapping[str, Any], death: str, folder: Path, *, asked: Sequence[str]) -> dict[str, float]:
    if outcome["state"] == "completed":
        return dict(outcome["scores"])
    if outcome["state"] == "interrupted" or (asked and outcome["state"] == "none"):
        reason = outcome.get("reason") or f"interrupted by {asked[0]}"
        if outcome["state"] == "none":
            _settle(folder, "interrupted", reason)
        raise Interrupted(reason)
    cause = death or outcome.get("reason") or "the first rank ended without a result"
    _settle(folder, "failed", cause)
    raise Failed(cause)


def _death(context: ProcessContext) -> str:
    """Wait for all ranks. How one died that could not say why; nothing when there is none."""
    from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

    try:
        while not context.join(grace_period=GRACE_S):
            pass
    except (ProcessExitedException, ProcessRaisedException) as error:
        log.info("rank %d ended:%s", error.error_index, error)
        codes = {rank: process.exitcode for rank, process in enumerate(context.processes)}
        silent = [rank for rank, code in codes.items() if code is not None and code < 0 and code != -signal.SIGTERM]
        if isinstance(error, ProcessExitedException):
            silent.insert(0, error.error_index)
        return "".join(_how(rank, codes[rank]) for rank in silent[:1])
    return ""


def _how(rank: int, exit_status: int) -> str:
    from runner.sweep.ending import cause_of_death

    where = f"; what it printed is in {log_of(rank)}" if rank else ""
    died = f"was {cause_of_death(exit_status)}" if exit_status < 0 else f"exited with status {exit_status}"
    return f"rank {rank} {died}{where}"


def _settle(folder: Path, state: str, reason: str) -> None:
    """What a rank that died could not write, or another one knew no better."""
    status, manifest = (read_json(folder / name) for name in ("status.json", "manifest.json"))
    if status.get("state") == state and status.get("reason") == reason:
        return
    if manifest:
        write_json(folder / "manifest.json", {**manifest, "status": state})
    write_status(folder, state, reason, step=status.get("step", 0))


class _Signals:
    """Passes what this process is sent on to the ranks, which do not hear the terminal themselves."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.pids: list[int] = []
        self._early: list[int] = []

    def note(self, number: int, _frame: FrameType | None) -> None:
        self.names.append(signal.Signals(number).name)
        if not self.pids:
            self._early.append(number)
        for pid in self.pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def catch_up(self) -> None:
        for number in self._early:
            for pid in self.pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)


def _rank(rank: int, nproc: int, port: int, work: Work, first: tuple[Sequence[Observer], Mapping[str, Any]]) -> None:
    """The whole life of one of the processes. Should the one that started them die, torch sends it a SIGINT."""
    from torch import distributed
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    os.setsid()
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo" if sys.platform == "linux" else "lo0")
    store = TCPStore(LOOPBACK, port, is_master=False, wait_for_workers=False)
    ranks = joined(store, rank=rank, world_size=nproc, local_rank=rank)
    if rank == 0:
        _lead(work, store, ranks, *first)
    else:
        with suppress(KeyboardInterrupt):  # the first rank tells of it
            accompanied(work, ranks)
    distributed.destroy_process_group()


def _lead(
    work: Work, store: Store, ranks: Ranks, observers: Sequence[Observer], job_logging: Mapping[str, Any]
) -> None:
    import logging.config

    from runner.run import run

    if job_logging:
        logging.config.dictConfig(dict(job_logging))
    cfg = OmegaConf.create(work.config)
    assert isinstance(cfg, DictConfig)
    try:
        scores = run(cfg, work.folder, name=work.folder.name, manner=work.manner, observers=observers, ranks=ranks)
        outcome = {"state": "completed", "scores": scores}
    except KeyboardInterrupt as error:
        outcome = {"state": "interrupted", "reason": str(error)}
    except Exception as error:
        store.set(OUTCOME, json.dumps({"state": "failed", "reason": reason_of(error)}))
        raise
    store.set(OUTCOME, json.dumps(outcome))
