"""What the process of one job does: it runs the job, and tells the sweep how it goes and how it ended."""

from __future__ import annotations

import contextlib
import functools
import gc
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf, open_dict

from runner.interrupt import STOPS
from runner.manner import Manner
from runner.problem import Failed, Refused
from runner.redirect import print_to
from runner.sweep.ending import CONSOLE, Ending

if TYPE_CHECKING:
    from runner.observers.observer import EvaluationRecord, Outcome, RunInfo, StepRecord

PROGRESS_EVERY_S = 1.0
GRACE_S = 300.0  # from being asked to stop until it is made to, when nobody is left to wait for it

Task = Callable[..., Any]
"""Called with a configuration, ``manner`` and ``observers``; known by a name that another process can import."""


@dataclass(frozen=True)
class Job:
    """One job, as a process of its own gets it."""

    name: str
    folder: Path
    config: DictConfig  # composed, Hydra's part included
    manner: Manner

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as plain values: discovering plugins once more gives Hydra's classes a second identity."""
        return _revived, (self.name, self.folder, OmegaConf.to_container(self.config), self.manner)


def _revived(name: str, folder: Path, content: dict[str, Any], manner: Manner) -> Job:
    from hydra.conf import HydraConf

    config = OmegaConf.create({**content, "hydra": OmegaConf.structured(HydraConf)})
    with open_dict(config.hydra):  # conf/ may add to it
        config.hydra.merge_with(content["hydra"])
    OmegaConf.set_struct(config, True)
    return Job(name, folder, config, manner)


@dataclass(frozen=True)
class Progress:
    """Where a job stands, while it trains."""

    step: int
    total_steps: int
    epoch: float
    total_epochs: int
    metric: str
    value: float | None  # of the last evaluation
    remaining_s: float | None


def work(task: Task, job: Job, environment: Mapping[str, str], channel: Connection) -> None:
    """The whole life of the process. Signals are blocked when it begins: none is lost before it can be heeded."""
    os.setsid()  # a terminal's Ctrl-C is for the sweep, which asks us
    gc.freeze()  # what the fork server has imported is no garbage
    multiprocessing.set_start_method(None, force=True)  # what the job starts itself, it starts as a single run does
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, _stop)
    signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_watch_the_sweep, daemon=True).start()
    reporter = Reporter(channel, watched_metric(job.config))
    ending = _ending(task, job, reporter)
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # it has ended; nothing is to be stopped any more
    reporter.end(ending)


def watched_metric(config: DictConfig) -> str:
    """The first that chooses checkpoints: ``valid/accuracy``."""
    return f"valid/{next(iter(OmegaConf.select(config, 'trainer.best') or {}), 'loss')}"


def _stop(number: int, _frame: FrameType | None) -> None:
    """Until training begins and after it has ended; in between a run finishes its step and saves."""
    raise KeyboardInterrupt(f"interrupted by {signal.Signals(number).name}")


def _watch_the_sweep() -> None:
    """When the sweep's process dies nobody waits for us: save and stop, or be stopped."""
    sweep = multiprocessing.parent_process()
    assert sweep is not None, "the sweep starts this process"
    connection.wait([sweep.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os.killpg(os.getpgid(0), signal.SIGKILL)


def _ending(task: Task, job: Job, reporter: Reporter) -> Ending:
    try:
        print_to(job.folder / CONSOLE)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        return Ending("completed", returned=_returned(task, job, reporter))
    except KeyboardInterrupt as error:
        print(f"interrupted: {error}", file=sys.stderr)
        return Ending("interrupted", cause=str(error) or "interrupted at once")
    except BaseException as error:
        traceback.print_exception(error)
        return Ending("failed", cause=_cause(error), refused=isinstance(error, Refused))


def _cause(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"called sys.exit({error.code})"
    if isinstance(error, (Failed, Refused)):
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _returned(task: Task, job: Job, reporter: Reporter) -> Any:
    """What the job returns, run as Hydra runs one: logging configured, ``hydra.job.env_set`` set. Raises as it does."""
    from hydra._internal.callbacks import Callbacks
    from hydra.core.utils import JobRuntime, JobStatus, run_job, setup_globals
    from hydra.types import HydraContext

    setup_globals()
    JobRuntime.instance().set("name", job.config.hydra.job.name)
    ended = run_job(
        hydra_context=HydraContext(config_loader=None, callbacks=Callbacks(job.config)),  # type: ignore[arg-type]
        task_function=functools.partial(task, manner=job.manner, observers=(reporter,)),
        config=job.config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )
    if ended.status != JobStatus.COMPLETED:
        raise ended._return_value
    return ended.return_value


class Reporter:
    """An observer that tells the sweep how far the job is: at evaluations, and at most once a second between them.

    What the sweep is too busy to hear is dropped, so that training never waits for it.
    """

    def __init__(self, channel: Connection, metric: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._channel = channel
        self._clock = clock
        self._metric = metric
        self._value: float | None = None
        self._run: RunInfo | None = None
        self._told_s = 0.0

    def started(self, run: RunInfo) -> None:
        self._run = run
        self._tell(run.first_step, None)

    def logged(self, record: StepRecord) -> None:
        if self._clock() - self._told_s >= PROGRESS_EVERY_S:
            self._tell(record.step, record.elapsed_s)

    def evaluated(self, record: EvaluationRecord) -> None:
        self._value = record.metrics.get(self._metric)
        self._tell(record.step, record.elapsed_s)

    def finished(self, outcome: Outcome) -> None: ...

    def end(self, ending: Ending) -> None:
        """The last word, which waits until it is heard. What cannot be sent is told as a failure."""
        with contextlib.suppress(BrokenPipeError):  # nobody is left to hear it: what counts is in the folder
            try:
                self._channel.send(ending)
            except (pickle.PicklingError, TypeError, AttributeError) as error:
                told = f"returned {type(ending.returned).__name__}, which cannot be sent to the sweep: {error}"
                self._channel.send(Ending("failed", cause=told))

    def _tell(self, step: int, elapsed_s: float | None) -> None:
        assert self._run is not None, "started comes first"
        plan, first_step = self._run.plan, self._run.first_step
        remaining_s = None
        if elapsed_s is not None and step > first_step:
            remaining_s = elapsed_s / (step - first_step) * (plan.last_step - step)
        epochs = (plan.epoch(step), plan.total_epochs)
        self._told_s = self._clock()
        os.set_blocking(self._channel.fileno(), False)
        try:
            self._channel.send(Progress(step, plan.total_steps, *epochs, self._metric, self._value, remaining_s))
        except (BlockingIOError, BrokenPipeError):
            pass  # a message this short goes whole or not at all
        finally:
            os.set_blocking(self._channel.fileno(), True)
