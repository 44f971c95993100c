"""Whether several processes can train a run together. Free of torch, but for counting GPUs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig

from runner import torchrun
from runner.problem import Problem, Refused
from runner.results.manifest import read_json

CHANGE_WORLD_SIZE = "--change-world-size"  # of ``resume``


def world_size_of(nproc: int) -> int:
    """Processes that would train a run now, where ``nproc`` is that of ``trainer``."""
    return max(torchrun.world_size(), nproc)


def ranks_problems(cfg: DictConfig) -> Iterator[Problem]:
    """What can be said by reading."""
    trainer = cfg.trainer
    values = (trainer[name] for name in ("nproc", "batch_size", "sync_batchnorm", "device"))
    if any(value == "???" for value in values) or trainer.nproc < 1:  # reported as such
        return
    together = world_size_of(trainer.nproc)
    if trainer.nproc > 1 and torchrun.world_size() > 1:
        text = f"torchrun has started {torchrun.world_size()} processes already"
        yield Problem("trainer.nproc", trainer.nproc, text, "leave it out, or start without torchrun")
        return
    if trainer.sync_batchnorm and together == 1:
        text = "changes nothing with one process"
        yield Problem("trainer.sync_batchnorm", "true", text, "leave it out, or set trainer.nproc=<n>")
    if together == 1:
        return
    if trainer.batch_size < together:
        text = f"is less than one sample for each of {together} processes"
        yield Problem("trainer.batch_size", trainer.batch_size, text, f"set trainer.batch_size to at least {together}")
    if trainer.device not in ("auto", "cpu", "cuda"):
        text = f"cannot be shared by {together} processes"
        yield Problem("trainer.device", trainer.device, text, "set trainer.device=auto: each takes a GPU of its own")
    if trainer.sync_batchnorm and trainer.device == "cpu":
        yield Problem("trainer.sync_batchnorm", "true", "torch has it on GPUs only", "leave it out")
    if cfg.debug.determinism:
        yield Problem("debug.determinism", "true", f"looks at one process, got {together}", "leave trainer.nproc out")


def gpus_problems(cfg: DictConfig) -> Iterator[Problem]:
    """More processes than GPUs, where the run would be on these."""
    import torch

    trainer = cfg.trainer
    here = max(torchrun.local_world_size(), trainer.nproc)
    count = torch.cuda.device_count() if torch.cuda.is_available() and trainer.device in ("auto", "cuda") else 0
    if here == 1:
        return
    if trainer.sync_batchnorm and count == 0 and trainer.device == "auto":
        yield Problem("trainer.sync_batchnorm", "true", "torch has it on GPUs only, and there is none", "leave it out")
    if here > count > 0:
        key, remedy = "trainer.nproc", f"set trainer.nproc={count}, or trainer.device=cpu"
        if torchrun.world_size() > 1:
            key, remedy = "torchrun --nproc-per-node", f"start {count}, or set trainer.device=cpu"
        yield Problem(key, here, f"each process takes a GPU, and {count} can be seen", remedy)


def refuse_sweep() -> None:
    """A sweep under torchrun. Raises ``Refused``."""
    if torchrun.world_size() > 1:
        text = "torchrun starts the processes of one run, not of a sweep"
        raise Refused([f"-m: {text}; leave torchrun out and set trainer.nproc=<processes of each job>"])


def refuse_other_world(folder: Path, nproc: int, *, allowed: bool) -> None:
    """Going on with another number of processes: the numbers are others. Raises ``Refused`` unless ``allowed``."""
    before = read_json(folder / "manifest.json").get("world_size", 1)
    now = world_size_of(nproc)
    if before != now and not allowed:
        how = f"set trainer.nproc={before}, or start it with torchrun" if before > 1 else "set trainer.nproc=1"
        text = f"resume {folder}: was trained by {before} process{'es' * (before > 1)}, now there would be {now}"
        raise Refused([f"{text}, with other numbers; {how}, or add {CHANGE_WORLD_SIZE}"])
