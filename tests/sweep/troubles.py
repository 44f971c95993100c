"""Jobs that end in every way there is, for processes that import them by name."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from runner.manner import Manner
from runner.observers.observer import EvaluationRecord, Outcome, RunInfo, StepRecord
from runner.problem import Failed, Refused

TOLD_S = 30.0  # long enough for any test


def do(cfg: DictConfig, *, manner: Manner, observers: Sequence[Any]) -> Any:  # noqa: ARG001
    """What ``cfg.do`` names."""
    print(f"doing {cfg.do}")
    return globals()[cfg.do](cfg, manner)


def return_scores(cfg: DictConfig, _manner: Manner) -> dict[str, float]:
    return {"test/loss": float(cfg.seed)}


def return_late(cfg: DictConfig, _manner: Manner) -> dict[str, float]:
    """The smaller the seed the later."""
    time.sleep(0.3 * max(0, 3 - cfg.seed))
    return {"test/loss": float(cfg.seed)}


def tell_surroundings(_cfg: DictConfig, manner: Manner) -> dict[str, Any]:
    import torch

    return {
        "process": os.getpid(),
        "session": os.getsid(0),
        "threads": manner.threads,
        "resume": manner.resume,
        "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "mark": os.environ.get("POOL_TEST_MARK"),
        "variable": os.environ.get("POOL_TEST_SET"),
        "folder": str(Path.cwd()),
        "starts": multiprocessing.get_start_method(),
        "output": HydraConfig.get().runtime.output_dir,
        "cuda": torch.cuda.is_initialized(),  # type: ignore[no-untyped-call]
        "time": time.monotonic(),
    }


def share_gpu(_cfg: DictConfig, _manner: Manner) -> tuple[str | None, float, float]:
    began = time.monotonic()
    time.sleep(0.4)
    return os.environ.get("CUDA_VISIBLE_DEVICES"), began, time.monotonic()


def raise_error(_cfg: DictConfig, _manner: Manner) -> None:
    raise ValueError("the lookup table has no entry for 17")


def raise_failed(_cfg: DictConfig, _manner: Manner) -> None:
    raise Failed("train/loss became nan at step 2")


def raise_refused(_cfg: DictConfig, _manner: Manner) -> None:
    raise Refused(["the folder is in use"])


def raise_nothing_said(_cfg: DictConfig, _manner: Manner) -> None:
    raise AssertionError


def call_exit(_cfg: DictConfig, _manner: Manner) -> None:
    sys.exit(3)


def leave(_cfg: DictConfig, _manner: Manner) -> None:
    os._exit(7)


def read_nowhere(_cfg: DictConfig, _manner: Manner) -> None:
    ctypes.string_at(0)


def be_killed(_cfg: DictConfig, _manner: Manner) -> None:
    print("so far so good")
    Path(HydraConfig.get().runtime.output_dir, "session").write_text(str(os.getsid(0)))
    subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({TOLD_S})"])
    os.kill(os.getpid(), signal.SIGKILL)


def return_what_cannot_be_sent(_cfg: DictConfig, _manner: Manner) -> Any:
    return lambda: None


def close_everything(_cfg: DictConfig, _manner: Manner) -> dict[str, float]:
    """As some libraries do before they start a daemon."""
    os.closerange(3, 256)
    time.sleep(0.5)
    return {}


def press_ctrl_c(_cfg: DictConfig, _manner: Manner) -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(TOLD_S)


def wait(_cfg: DictConfig, _manner: Manner) -> None:
    """Until somebody stops it."""
    _mark("waiting")
    time.sleep(TOLD_S)


def wait_deaf(_cfg: DictConfig, _manner: Manner) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _mark("waiting")
    time.sleep(TOLD_S)


def _mark(name: str) -> None:
    Path(HydraConfig.get().runtime.output_dir, name).touch()


class Slows:
    """An observer of a real run that makes each step take ``step_s`` seconds."""

    def __init__(self, step_s: float = 0.05) -> None:
        self.step_s = step_s

    def started(self, run: RunInfo) -> None: ...

    def logged(self, record: StepRecord) -> None:  # noqa: ARG002
        time.sleep(self.step_s)

    def evaluated(self, record: EvaluationRecord) -> None: ...

    def finished(self, outcome: Outcome) -> None: ...


class Sabotages(Slows):
    """Ends the process of seeds 1 to 4 at step 2: by an exit, a segmentation fault, a kill, and one more way out."""

    def started(self, run: RunInfo) -> None:
        self._seed = run.hparams["seed"]

    def logged(self, record: StepRecord) -> None:
        if record.step == 2:
            _sabotage(self._seed)


def _sabotage(way: int) -> None:
    if way == 1:
        sys.exit(3)
    if way == 2:
        ctypes.string_at(0)
    if way == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if way == 4:
        os._exit(7)
