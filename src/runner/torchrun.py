"""Processes that torchrun has started: the first leads, the others do what it says. Free of torch until they meet."""

from __future__ import annotations

import functools
import itertools
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.manner import Manner
from runner.problem import Interrupted

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from runner.observers.observer import Observer
    from runner.ranks import Ranks, Store

WORK, END = "runner/work/{number}", "runner/end"  # keys of what the first rank says
LOOK_EVERY_S = 0.05


def world_size() -> int:
    """The processes that torchrun has started together, of which this is one; 1 without torchrun."""
    return int(os.environ["WORLD_SIZE"]) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def rank() -> int:
    return int(os.environ["RANK"]) if world_size() > 1 else 0


def local_world_size() -> int:
    """Those of them on this machine."""
    return int(os.environ["LOCAL_WORLD_SIZE"]) if world_size() > 1 else 1


@dataclass(frozen=True)
class Work:
    """A run, as the other ranks get it from the first."""

    config: str  # YAML
    folder: Path
    manner: Manner = field(default_factory=Manner)
    environment: Mapping[str, str] = field(default_factory=dict)  # that the run asks for

    def text(self) -> str:
        return json.dumps(asdict(self), default=str)

    @classmethod
    def of(cls, text: bytes) -> Work:
        content = json.loads(text)
        manner = Manner(**content["manner"])
        return cls(content["config"], Path(content["folder"]), manner, content["environment"])


@functools.cache
def _store() -> Store:
    from torch import distributed

    met: tuple[Store, int, int] = next(iter(distributed.rendezvous("env://")))  # type: ignore[attr-defined]
    return met[0]


@functools.cache
def _ranks() -> Ranks:
    return joined(_store(), rank=rank(), world_size=world_size(), local_rank=int(os.environ["LOCAL_RANK"]))


def joined(store: Store, *, rank: int, world_size: int, local_rank: int) -> Ranks:
    """This process, once all have come: NCCL carries what is on GPUs, gloo the rest."""
    import torch
    from torch import distributed

    from runner.ranks import Ranks

    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=world_size)  # type: ignore[arg-type]
    return Ranks(rank=rank, world_size=world_size, local_rank=local_rank, store=store)


_runs = itertools.count()


def led(
    cfg: DictConfig, folder: Path, *, manner: Manner, observers: Sequence[Observer], env_set: Mapping[str, str]
) -> dict[str, float]:
    """Run ``cfg`` with all ranks; this is the first. Raises as ``run`` does."""
    from omegaconf import OmegaConf

    from runner.run import run

    work = Work(OmegaConf.to_yaml(cfg), folder, manner, dict(env_set))
    _store().set(WORK.format(number=next(_runs)), work.text())
    scores: dict[str, float] = told(
        lambda: run(cfg, folder, name=folder.name, manner=manner, observers=observers, ranks=_ranks())
    )
    return scores


def lead(work: Callable[[], int]) -> int:
    """The whole command, as the first rank; its exit status, which the others end with, too."""
    status = work()
    _store().set(END, str(status))
    if status not in (0, 130):  # torchrun ends those that wait for this rank in a step
        return status
    _part()
    return status


def follow() -> int:
    """Every run of the first rank's command, as one of the others; the exit status of that command."""
    for number in itertools.count():
        key = WORK.format(number=number)
        while not _store().check([key]):
            if _store().check([END]):
                status = int(_store().get(END))
                _part()
                return status
            time.sleep(LOOK_EVERY_S)
        work = Work.of(_store().get(key))
        os.environ.update(work.environment)
        try:
            accompanied(work, _ranks())
        except Interrupted:
            continue  # the first rank says how the command ends
    raise AssertionError("counting does not end")


def accompanied(work: Work, ranks: Ranks) -> None:
    """A run, as one of the ranks after the first. What it prints goes to a file, which is left when it fails."""
    import gc
    import logging
    import sys
    import traceback

    from omegaconf import OmegaConf

    from runner.ranks import log_of
    from runner.redirect import print_to
    from runner.run import accompany

    gc.enable()  # which the start had switched off
    log = work.folder / log_of(ranks.rank)
    log.parent.mkdir(parents=True, exist_ok=True)
    print_to(log)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, force=True)
    try:
        accompany(OmegaConf.create(work.config), work.folder, manner=work.manner, ranks=ranks)  # type: ignore[arg-type]
    except KeyboardInterrupt:
        log.unlink(missing_ok=True)
        raise
    except BaseException:
        traceback.print_exc()
        raise
    log.unlink(missing_ok=True)


def _part() -> None:
    """Leave in peace, where the ranks ever met."""
    from torch import distributed

    if distributed.is_initialized():
        distributed.destroy_process_group()


def told(work: Callable[[], Any]) -> Any:
    """Do ``work``; what it raises is told to torchrun, whose summary then has its traceback."""
    from torch.distributed.elastic.multiprocessing.errors import record

    return record(work)()
