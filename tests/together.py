"""Several processes on this machine that train together, without the seconds of a command each."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch.distributed import FileStore  # type: ignore[attr-defined]
from torch.multiprocessing.spawn import start_processes

from runner.ranks import Ranks
from runner.sweep.pool import start_fork_server


def together(work: Callable[..., Any], *args: Any, folder: Path, world_size: int = 2) -> list[Any]:
    """What ``work(ranks, *args)`` returns on each rank. Raises what one of them raised."""
    start_fork_server()  # once for all tests of this process: torch is imported there, and not by each rank
    asked = (world_size, work, args, folder)
    start_processes(_rank, asked, nprocs=world_size, start_method="forkserver")  # type: ignore[no-untyped-call]
    return [pickle.loads((folder / f"returned.{rank}").read_bytes()) for rank in range(world_size)]


def _rank(rank: int, world_size: int, work: Callable[..., Any], args: tuple[Any, ...], folder: Path) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    store = FileStore(str(folder / "store"), world_size)
    distributed.init_process_group(
        "gloo", store=store, rank=rank, world_size=world_size, timeout=timedelta(seconds=120)
    )
    returned = work(Ranks(rank=rank, world_size=world_size, local_rank=rank), *args)
    (folder / f"returned.{rank}").write_bytes(pickle.dumps(returned))
    distributed.destroy_process_group()
