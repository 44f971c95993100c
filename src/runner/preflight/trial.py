"""One training step and one evaluation on tensors without data: shapes that do not fit show here, not in the night."""

from __future__ import annotations

import functools
import os
import re
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from omegaconf import DictConfig

from runner.batch import Batch, tensors
from runner.composition import make_plan
from runner.config import build
from runner.data.augment import check_changes
from runner.data.order import TrainingOrder
from runner.data.placement import check_resident
from runner.data.source import Splits
from runner.losses.targets import uneven
from runner.numerics import resolve_device
from runner.optim import Scheduler, ending, freezing
from runner.plan import Plan
from runner.preflight.causes import for_any, lacks_content, limited, obstacle
from runner.preflight.finding import network_problems
from runner.preflight.initial import init_problems, published_problems
from runner.preflight.loggers import logger_problems
from runner.preflight.measured import (
    best_problems,
    followed_problems,
    measured,
    metric_problems,
    pace_problems,
    training_losses,
)
from runner.preflight.ranks import world_size_of
from runner.preflight.step import Recorder, contents, example, one_step, smallest_batch, watched
from runner.problem import Problem
from runner.tasks.task import Task
from runner.trajectory.recorder import Recorder as TrajectoryRecorder

T = TypeVar("T")

SAMPLES = 2
SMALL_BYTES = 2**26  # of weights: with these a step on the CPU takes tenths of a second
SMALL_EXAMPLE = 3 * 128 * 128  # numbers


class Trial:
    """Collects what goes wrong when the parts of a configuration are built and used once, and what cannot be told."""

    def __init__(self, cfg: DictConfig, splits: Splits, *, elsewhere: bool = False) -> None:
        self.cfg = build.tentative(cfg)
        self.asked = cfg
        self.splits = splits
        self.problems: list[Problem] = []
        self.unchecked: list[Problem] = []
        self.device = "meta"
        self.untraceable = False
        self.weights_bytes = self.recorded_bytes = 0
        self.recorded = ""  # what a trajectory comes to, in words
        self.frozen = ""  # what is frozen, and for how long
        self._elsewhere = elsewhere
        self._runs_on_cpu = not elsewhere and _is_cpu(cfg.trainer.device)

    def run(self, *, at_once: bool = False) -> None:
        """On meta tensors, which cost nothing; on the CPU where something cannot do without content.

        ``at_once``: small ones on the CPU from the start. The first operations on meta tensors import torch's
        compiler, which takes longer than a few such trials, and not as long as hundreds.
        """
        if at_once and self._is_small():
            self._run_on_cpu(SMALL_BYTES)
            if not self.unchecked:
                return
            self.problems, self.unchecked, self.device = [], [], "meta"
        self._run()
        if not self.untraceable:
            return
        shown, self.problems = self.problems, []
        self._run_on_cpu()
        if self.unchecked:  # what was seen before it counts
            self.problems = list({problem.line(): problem for problem in [*shown, *self.problems]}.values())

    def _is_small(self) -> bool:
        return sum(tensor.numel() for tensor in tensors(self.splits.train[0])) <= SMALL_EXAMPLE

    def _run_on_cpu(self, limit_bytes: int | None = None) -> None:
        self.device = "cpu"
        with torch.random.fork_rng(devices=[]), limited(limit_bytes):
            self._run()

    def _run(self) -> None:
        augmentation = self._try("augmentation", lambda: build.build_augmentation(self.cfg))
        if augmentation is not None:
            self._try("augmentation", lambda: check_changes(augmentation, self.splits.spec))
            self._try("trainer", lambda: check_resident(self.cfg.trainer.resident, augmentation))
        observed = functools.partial(logger_problems, elsewhere=self._elsewhere)
        for name, node in self.cfg.logger.items():
            if node is not None:
                self.problems += self._try(f"logger.{name}", functools.partial(observed, str(name), node)) or []
        plan = self.plan()
        with torch.device(self.device):
            task = self._task()
        if task is not None:
            self.weights_bytes = sum(tensor.nbytes for tensor in (*task.parameters(), *task.buffers()))
            published = functools.partial(published_problems, task, here=not self._elsewhere)
            self.problems += self._try("model", published) or []
            self.problems += [*init_problems(self.cfg, task), *network_problems(self.asked, list(task.networks()))]
            self._trajectory(task, plan)
            names = self._step(task, plan)
            if names is not None:
                self.problems += best_problems(self.cfg.trainer.best, names)

    def _trajectory(self, task: Task, plan: Plan | None) -> None:
        """What recording weights comes to, or what stands against it."""
        if self.cfg.trajectory is None:
            return
        recorder = self._try("trajectory", lambda: build.instantiate(self.cfg.trajectory))
        if plan is None or not isinstance(recorder, TrajectoryRecorder):
            return
        found = [replace(problem, key=f"trajectory.{problem.key}") for problem in recorder.problems(task, plan)]
        self.problems += found
        if not found:
            extent = recorder.extent(task, plan.cut(self.cfg.debug.steps))
            self.recorded_bytes, self.recorded = extent.bytes, extent.line()

    def _try(self, key: str, work: Callable[[], T], *, what: str = "") -> T | None:
        """The result of ``work``; what it raises becomes a problem of ``key``."""
        try:
            return work()
        except Exception as error:
            if self.device == "meta" and lacks_content(error):
                self.untraceable = True
                return None
            if os.environ.get("RUNNER_TRACEBACK"):
                traceback.print_exception(error)
            reason = obstacle(error, runs_on_cpu=self._runs_on_cpu) if self.device == "cpu" else ""
            if reason:
                self.unchecked.append(Problem(key, None, reason, ""))
            else:
                self.problems.append(Problem(key, None, what + describe(error), ""))
            return None

    def plan(self) -> Plan | None:
        trainer, size = self.cfg.trainer, len(self.splits.train)
        if trainer.batch_size > size:
            text = f"is larger than the training part ({size} samples)"
            self.problems.append(
                Problem("trainer.batch_size", trainer.batch_size, text, f"set trainer.batch_size to at most {size}")
            )
            return None
        return self._try("trainer", lambda: make_plan(trainer, self._order().steps_per_epoch))

    def _order(self) -> TrainingOrder:
        return TrainingOrder.of(self.splits, self.cfg.trainer.batch_size)

    def _task(self) -> Task | None:
        spec = self.splits.spec
        if self._try("task", lambda: build.suitable(self.cfg, spec)) is None:
            return None
        model = self._try("model", lambda: build.build_model(self.cfg, spec))
        loss = self._try("loss", lambda: build.build_loss(self.cfg, spec))
        if model is None or loss is None:
            return None
        return self._try("task", lambda: build.build_task(self.cfg, model, loss, self.splits))

    def _step(self, task: Task, plan: Plan | None) -> set[str] | None:
        """Use everything once; the names of what an evaluation measures, None where that could not be found out."""
        optimizers = self._try("optimizer", lambda: build.build_optimizers(self.cfg, task))
        schedules: list[Scheduler] = []
        if optimizers is not None and plan is not None:
            schedules = self._schedules([*optimizers.values()], plan)
            self._freeze(task, plan, optimizers)
        trainer = self.cfg.trainer
        together = world_size_of(trainer.nproc)
        if uneven(getattr(task, "loss", None), ignoring=self.splits.ignore_index is not None):
            text = "cannot split a loss in which samples count differently (class weights, ignore_index)"
            for key, parts in (("trainer.micro_batches", trainer.micro_batches), ("trainer.nproc", together)):
                if parts > 1:
                    self.problems.append(Problem(key, parts, text, "set it to 1"))
        samples = min(SAMPLES, smallest_batch(self._order().batch_sizes, trainer.micro_batches, together))
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors(example(self.splits, "meta", samples)))
        what = f"a training step on a batch of {shapes} fails: "
        recorder = self._try("model", lambda: self._used(task, samples), what=what)
        if recorder is None:
            return None
        names = set(recorder.means) | self._measured(recorder, task)
        names |= {f"{of_set}/{name}" for of_set in self.splits.sets.get("valid", ()) for name in names}
        shown = [*(f"valid/{name}" for name in sorted(names)), *training_losses(task, recorder)]
        self.problems += followed_problems(self._followed(schedules), names=shown, task=task)
        self.problems += pace_problems(self.cfg.scheduler, recorder.steps)
        return names

    def _schedules(self, optimizers: Sequence[torch.optim.Optimizer], plan: Plan) -> list[Scheduler]:
        """Of each optimizer; what is wrong is told of the rate, of the momentum, or of what is trained for a while."""
        cfg = self.cfg
        made = self._try("scheduler", lambda: [build.build_schedule(cfg, one, plan) for one in optimizers])
        pairs = [*zip(made or [], optimizers, strict=made is not None)]
        self._try("momentum", lambda: [build.build_momentum(cfg, rate, one, plan) for rate, one in pairs])
        self._try("optimizer", lambda: [ending(rate, one, plan=plan) for rate, one in pairs])
        return made or []

    def _freeze(self, task: Task, plan: Plan, optimizers: Mapping[str, torch.optim.Optimizer]) -> None:
        """What is frozen in the first step is so from here on."""
        until = build.frozen_until(self.cfg)
        found = self._try("freeze", lambda: list(freezing.faults(task, until, plan=plan, optimizers=optimizers)))
        self.problems += found or []
        if until and found == []:
            self.frozen = freezing.told(task, until, plan=plan)
            build.build_frozen(self.cfg, task, plan).begin(0)

    def _used(self, task: Task, samples: int) -> Recorder:
        """Of one step on the device; on the CPU whatever the samples hold."""

        def step(batch: Batch) -> Recorder:
            with watched(task, batch, self.splits.spec):
                return one_step(task.train(), batch)

        if self.device == "meta":
            return step(example(self.splits, "meta", samples))
        return for_any(step, contents(self.splits, samples, self.cfg.trainer.batch_size))

    def _followed(self, schedules: Iterable[Scheduler]) -> set[tuple[str, str | None]]:
        """By key what schedules and rules that end training follow."""
        followed = {("scheduler.monitor", schedule.monitor) for schedule in schedules}
        for name, node in self.cfg.stopping.items():
            rule = None if node is None else self._try(f"stopping.{name}", functools.partial(build.instantiate, node))
            followed.add((f"stopping.{name}.monitor", getattr(rule, "monitor", None)))
        return followed

    def _measured(self, recorder: Recorder, task: Task) -> set[str]:
        names: set[str] = set()
        for name, node in self.cfg.metrics.items():
            found = metric_problems(name, node, recorder=recorder, task=task, splits=self.splits)
            self.problems += found
            if not found:
                measure = functools.partial(measured, str(name), node, recorder=recorder, splits=self.splits)
                names |= set(self._try(f"metrics.{name}", measure) or ())
        return names


def describe(error: Exception) -> str:
    """The message of a ``ValueError`` is for the reader; another error is told with its type and place."""
    if isinstance(error, ValueError):
        return str(error)
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not re.search(r"/(torch|hydra)/", frame.filename)
    ]
    place = f" (at {frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"


def device_problems(cfg: DictConfig) -> list[Problem]:
    """A device that this machine lacks."""
    try:
        resolve_device(cfg.trainer.device)
    except ValueError as error:
        return [Problem("trainer.device", cfg.trainer.device, str(error), "set trainer.device=auto")]
    return []


def _is_cpu(device: str) -> bool:
    try:
        return resolve_device(device).type == "cpu"
    except ValueError:  # told by ``device_problems``
        return False


def tried(
    cfg: DictConfig, splits: Splits, *, clean: bool = True, elsewhere: bool = False, at_once: bool = False
) -> Trial:
    """Everything of ``cfg`` built and used once, with the shapes of ``splits``.

    Its ``problems`` say what went wrong, and ``unchecked`` what could not be tried, and why.

    Unless reading it found it ``clean``, only its durations are tried: the rest may not even be buildable.
    """
    trial = Trial(cfg, splits, elsewhere=elsewhere)
    if clean:
        trial.run(at_once=at_once)
    else:
        trial.plan()
    return trial
