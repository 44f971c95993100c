"""One training step and one evaluation on tensors without data: shapes that do not fit show here, not in the night."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from runner.batch import Batch
from runner.config import build
from runner.data.source import Spec, Splits
from runner.metrics import Metrics
from runner.numerics import resolve_device
from runner.plan import Plan
from runner.preflight.settings import closest
from runner.problem import Problem
from runner.run import make_plan
from runner.tasks.task import Task

T = TypeVar("T")

SAMPLES = 2  # batch norm over 1 x 1 maps needs more than one


class Recorder:
    """Stands in for ``Metrics`` on meta tensors: what a task measures, and the shapes that it gives its metrics."""

    def __init__(self) -> None:
        self.means: list[str] = []
        self.given: list[tuple[Tensor, ...]] = []

    def mean(self, name: str, value: Tensor, weight: int) -> None:  # noqa: ARG002
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

    def run(self) -> list[Problem]:
        """On meta tensors, which cost nothing; on the CPU where something cannot do without content."""
        for self.device in ("meta", "cpu"):
            self.problems, self.untraceable = [], False
            self._run()
            if not self.untraceable:
                break
        return self.problems

    def _run(self) -> None:
        self._try("trainer.device", lambda: resolve_device(self.cfg.trainer.device))
        self._try("augmentation", lambda: build.build_augmentation(self.cfg))
        plan = self._plan()
        with torch.device(self.device):
            task = self._task()
        if task is not None:
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
            value = OmegaConf.select(self.cfg, key) if key == "trainer.device" else None
            self.problems.append(Problem(key, value, what + describe(error), ""))
            return None

    def _plan(self) -> Plan | None:
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
        if optimizers is not None and plan is not None:
            schedule = build.scheduler_factory(self.cfg, plan)
            self._try("scheduler", lambda: [schedule(optimizer) for optimizer in optimizers.values()])
        batch = example(self.splits, self.device)
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in batch)
        what = f"a training step on a batch of {shapes} fails: "
        with watched(task, batch, self.splits.spec):
            recorder = self._try("model", lambda: one_step(task, batch), what=what)
        if recorder is None:
            return None
        return set(recorder.means) | self._measured(recorder)

    def _measured(self, recorder: Recorder) -> set[str]:
        names: set[str] = set()
        for name, node in self.cfg.metrics.items():

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
    if not isinstance(model, nn.Module):
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


def example(splits: Splits, device: str) -> tuple[Tensor, ...]:
    """A batch with the shapes and types of the training part, without its content; the image first, as prepared."""
    images, *rest = splits.train[0]
    batch = torch.zeros(SAMPLES, *images.shape, device=device)
    return batch, *(torch.zeros(SAMPLES, *tensor.shape, dtype=tensor.dtype, device=device) for tensor in rest)


def describe(error: Exception) -> str:
    """The message of a ``ValueError`` is for the reader; another error is told with its type and place."""
    if isinstance(error, ValueError):
        return str(error)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/torch/" not in frame.filename]
    place = f" (at {frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"


def trial_problems(cfg: DictConfig, splits: Splits) -> list[Problem]:
    """What goes wrong when everything of ``cfg`` is built and used once, with the shapes of ``splits``."""
    return Trial(cfg, splits).run()
