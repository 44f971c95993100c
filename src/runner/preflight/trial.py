"""One training step and one evaluation on tensors without data: shapes that do not fit show here, not in the night."""

from __future__ import annotations

import functools
import os
import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from runner.batch import Batch
from runner.composition import make_plan
from runner.config import build
from runner.data.data import check_resident
from runner.data.source import Spec, Splits
from runner.metrics import Metrics
from runner.numerics import resolve_device
from runner.optim import Scheduler
from runner.plan import Plan
from runner.preflight.initial import init_problems
from runner.preflight.settings import closest
from runner.problem import Problem
from runner.tasks.task import Task
from runner.update import loss_label

T = TypeVar("T")

SAMPLES = 2
OF_CLASSES = {
    f"runner.metrics.{name}" for name in ("accuracy", "top5", "precision", "recall", "f1", "confusion_matrix")
}


class Recorder:
    """Stands in for ``Metrics`` on meta tensors: what a task measures, and the shapes that it gives its metrics."""

    def __init__(self) -> None:
        self.means: list[str] = []
        self.given: list[tuple[Tensor, ...]] = []

    def mean(self, name: str, value: Tensor, weight: Tensor | int) -> None:  # noqa: ARG002
        self.means.append(name)

    def update(self, *tensors: Tensor) -> None:
        self.given.append(tensors)


class Trial:
    """Collects what goes wrong when the parts of a configuration are built and used once."""

    def __init__(self, cfg: DictConfig, splits: Splits) -> None:
        self.cfg = cfg
        self.splits = splits
        self.problems: list[Problem] = []
        self.device = "meta"
        self.untraceable = False
        self.weights_bytes = 0

    def run(self) -> None:
        """On meta tensors, which cost nothing; on the CPU where something cannot do without content."""
        for self.device in ("meta", "cpu"):
            self.problems, self.untraceable = [], False
            self._run()
            if not self.untraceable:
                break

    def _run(self) -> None:
        augmentation = self._try("augmentation", lambda: build.build_augmentation(self.cfg))
        if augmentation is not None:
            self._try("trainer", lambda: check_resident(self.cfg.trainer.resident, augmentation))
        for name, node in self.cfg.logger.items():
            if node is not None:
                self._try(f"logger.{name}", functools.partial(build.instantiate, node))
        plan = self.plan()
        with torch.device(self.device):
            task = self._task()
        if task is not None:
            self.weights_bytes = sum(tensor.nbytes for tensor in (*task.parameters(), *task.buffers()))
            self.problems += init_problems(self.cfg, task)
            names = self._step(task, plan)
            if names is not None:
                self._names(names)

    def _try(self, key: str, work: Callable[[], T], *, what: str = "") -> T | None:
        """The result of ``work``; what it raises becomes a problem of ``key``."""
        try:
            return work()
        except Exception as error:
            if self.device == "meta" and (isinstance(error, NotImplementedError) or "meta" in str(error).lower()):
                self.untraceable = True
                return None
            if os.environ.get("RUNNER_TRACEBACK"):
                traceback.print_exception(error)
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
        return self._try("trainer", lambda: make_plan(trainer, -(-size // trainer.batch_size)))

    def _task(self) -> Task | None:
        spec = self.splits.spec
        model = self._try("model", lambda: build.build_model(self.cfg, spec))
        loss = self._try("loss", lambda: build.build_loss(self.cfg, spec))
        if model is None or loss is None:
            return None
        return self._try("task", lambda: build.build_task(self.cfg, model, loss))

    def _step(self, task: Task, plan: Plan | None) -> set[str] | None:
        """Use everything once; the names of what an evaluation measures, None where that could not be found out."""
        optimizers = self._try("optimizer", lambda: build.build_optimizers(self.cfg, task))
        schedules: list[Scheduler] = []
        if optimizers is not None and plan is not None:
            schedule = build.scheduler_factory(self.cfg, plan)
            made = self._try("scheduler", lambda: [schedule(optimizer) for optimizer in optimizers.values()])
            schedules = made or []
        trainer = self.cfg.trainer
        if trainer.micro_batches > 1 and getattr(getattr(task, "loss", None), "uneven", False):
            text = "cannot split a loss in which samples count differently (class weights, ignore_index)"
            self.problems.append(Problem("trainer.micro_batches", trainer.micro_batches, text, "set it to 1"))
        samples = smallest_batch(len(self.splits.train), trainer.batch_size, trainer.micro_batches)
        batch = example(self.splits, self.device, min(samples, SAMPLES))
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in batch)
        what = f"a training step on a batch of {shapes} fails: "
        with watched(task, batch, self.splits.spec):
            recorder = self._try("model", lambda: one_step(task, batch), what=what)
        if recorder is None:
            return None
        names = set(recorder.means) | self._measured(recorder, task)
        networks = task.networks()
        losses = [loss_label(name, alone=len(networks) == 1) for name in networks]
        self._monitors(schedules, [*(f"valid/{name}" for name in sorted(names)), *losses])
        return names

    def _monitors(self, schedules: list[Scheduler], measured: list[str]) -> None:
        """A schedule, and a rule that ends training, must follow something that is measured."""
        followed = {("scheduler.monitor", schedule.monitor) for schedule in schedules}
        for name, node in self.cfg.stopping.items():
            rule = None if node is None else self._try(f"stopping.{name}", functools.partial(build.instantiate, node))
            followed.add((f"stopping.{name}.monitor", getattr(rule, "monitor", None)))
        for key, monitor in sorted(followed, key=str):
            if monitor is not None and monitor not in measured:
                text = f"is not measured; there are: {', '.join(measured)}"
                self.problems.append(Problem(key, monitor, text, closest(monitor, measured)))

    def _measured(self, recorder: Recorder, task: Task) -> set[str]:
        names: set[str] = set()
        for name, node in self.cfg.metrics.items():
            if not recorder.given or (task.output == "image" and node.get("_target_") in OF_CLASSES):
                text = f"measures nothing that {type(task).__name__} gives"
                self.problems.append(Problem(f"metrics.{name}", None, text, f"take {name} out of metrics=[…]"))
                continue

            def measure(name: str = str(name), node: Any = node) -> dict[str, float]:
                metric = Metrics({name: build.instantiate(node, num_classes=self.splits.spec.num_classes)})
                for tensors in recorder.given:
                    metric.update(*(torch.zeros(tensor.shape, dtype=tensor.dtype, device="cpu") for tensor in tensors))
                return metric.compute()

            names |= set(self._try(f"metrics.{name}", measure) or ())
        return names

    def _names(self, names: set[str]) -> None:
        for metric, direction in self.cfg.trainer.best.items():
            if metric not in names:
                text = f"is not measured; there are: {', '.join(sorted(names))}"
                remedy = closest(metric, names) or f"take it out with ~trainer.best.{metric}"
                self.problems.append(Problem(f"trainer.best.{metric}", direction, text, remedy))


@contextmanager
def watched(task: Task, batch: tuple[Tensor, ...], spec: Spec) -> Iterator[None]:
    """Inside, a model whose output the task cannot mean raises ``ValueError`` before a loss broadcasts it away."""
    model = getattr(task, "model", None)
    says = any("output" in vars(kind) for kind in type(task).__mro__ if kind is not Task)
    if not says or not isinstance(model, nn.Module):
        yield
        return

    def look(_module: nn.Module, _inputs: object, output: object) -> None:
        if not isinstance(output, Tensor):
            return
        given, size = tuple(output.shape), tuple(batch[0].shape)
        if task.output == "classes" and (len(given) != 2 or given[1] < spec.num_classes):
            raise ValueError(f"the model gives {given}, but scores {(len(batch[0]), spec.num_classes)} are needed")
        if task.output == "image" and given != size:
            raise ValueError(f"the model gives {given}, but images {size} are needed")

    hook = model.register_forward_hook(look)
    try:
        yield
    finally:
        hook.remove()


def one_step(task: Task, batch: Batch) -> Recorder:
    """Every loss with its gradients, then one evaluation. Raises ``ValueError`` for what the loop could not use."""
    networks = task.networks()
    for name, loss in task.losses(batch):
        if name not in networks:
            known = ", ".join(networks) or "none"
            raise ValueError(f"{type(task).__name__} yields a loss for {name!r}, but its networks are {known}")
        if loss.ndim:
            raise ValueError(f"the loss of {name!r} must be one number, got the shape {tuple(loss.shape)}")
        torch.autograd.backward(loss)
    recorder = Recorder()
    task.eval()
    with torch.no_grad():
        task.scores(batch, cast(Metrics, recorder))
    return recorder


def smallest_batch(size: int, batch_size: int, micro_batches: int) -> int:
    """The fewest samples that are computed at once: batch norm cannot do with one."""
    batches = [batch_size, *([size % batch_size] if size % batch_size else [])]
    return min(batch // min(micro_batches, batch) for batch in batches)


def example(splits: Splits, device: str, samples: int = SAMPLES) -> tuple[Tensor, ...]:
    """A batch with the shapes and types of the training part, without its content; the image first, as prepared."""
    images, *rest = splits.train[0]
    batch = torch.zeros(samples, *images.shape, device=device)
    return batch, *(torch.zeros(samples, *tensor.shape, dtype=tensor.dtype, device=device) for tensor in rest)


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


def tried(cfg: DictConfig, splits: Splits, *, clean: bool = True) -> Trial:
    """Everything of ``cfg`` built and used once, with the shapes of ``splits``; its ``problems`` say what went wrong.

    Unless reading it found it ``clean``, only its durations are tried: the rest may not even be buildable.
    """
    trial = Trial(cfg, splits)
    if clean:
        trial.run()
    else:
        trial.plan()
    return trial
