"""One training step and one evaluation on tensors without data: shapes that do not fit show here, not in the night."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from omegaconf import DictConfig
from torch import Tensor

from runner.config import build
from runner.data.source import Spec, Splits
from runner.metrics import Metrics
from runner.numerics import resolve_device
from runner.plan import Plan
from runner.preflight.settings import closest
from runner.problem import Problem
from runner.run import make_plan
from runner.tasks.task import Task

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

    def run(self) -> list[Problem]:
        with self._found("trainer.device"):
            resolve_device(self.cfg.trainer.device)
        with self._found("augmentation"):
            build.build_augmentation(self.cfg)
        plan = self._plan()
        with torch.device("meta"):
            task = self._task()
        if task is not None and plan is not None:
            names = self._step(task, plan)
            self._names(names)
        return self.problems

    @contextmanager
    def _found(self, key: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if os.environ.get("RUNNER_TRACEBACK"):
                raise
            group = self.cfg.get(key.split(".")[0])
            value = build.OmegaConf.select(self.cfg, key) if "." in key else None
            del group
            self.problems.append(Problem(key, value, describe(error), ""))

    def _plan(self) -> Plan | None:
        trainer, size = self.cfg.trainer, len(self.splits.train)
        if trainer.batch_size > size:
            text = f"is larger than the training part ({size} samples)"
            self.problems.append(
                Problem(
                    "trainer.batch_size",
                    trainer.batch_size,
                    text,
                    f"set trainer.batch_size to at most {size}",
                )
            )
            return None
        with self._found("trainer"):
            return make_plan(trainer, -(-size // trainer.batch_size))
        return None

    def _task(self) -> Task | None:
        spec = self.splits.spec
        with self._found("model"):
            model = build.build_model(self.cfg, spec)
            with self._found("loss"):
                loss = build.build_loss(self.cfg, spec)
                with self._found("task"):
                    return build.build_task(self.cfg, model, loss)
        return None

    def _step(self, task: Task, plan: Plan) -> set[str]:
        """Use everything once; the names of what an evaluation measures."""
        networks = task.networks()
        with self._found("optimizer"):
            optimizers = build.build_optimizers(self.cfg, task)
            with self._found("scheduler"):
                for optimizer in optimizers.values():
                    build.scheduler_factory(self.cfg, plan)(optimizer)
        recorder = Recorder()
        batch = example(self.splits.spec, "meta")
        with self._found("task"):
            for name, loss in task.losses(batch):
                if name not in networks:
                    raise ValueError(
                        f"{type(task).__name__} yields a loss for {name!r}; its networks are {', '.join(networks)}"
                    )
                if loss.ndim:
                    raise ValueError(f"the loss of {name!r} must be a scalar, got shape {tuple(loss.shape)}")
                loss.backward()
            task.eval()
            with torch.no_grad():
                task.scores(batch, recorder)  # type: ignore[arg-type]
        return set(recorder.means) | self._measured(recorder)

    def _measured(self, recorder: Recorder) -> set[str]:
        names: set[str] = set()
        for name, node in self.cfg.metrics.items():
            with self._found(f"metrics.{name}"):
                metric = Metrics({name: build.instantiate(node, num_classes=self.splits.spec.num_classes)})
                for tensors in recorder.given:
                    metric.update(*(torch.zeros(tensor.shape, dtype=tensor.dtype, device="cpu") for tensor in tensors))
                names |= set(metric.compute())
        return names

    def _names(self, names: set[str]) -> None:
        for metric, direction in self.cfg.trainer.best.items():
            if metric not in names:
                text = f"is not measured; there are: {', '.join(sorted(names))}"
                self.problems.append(Problem(f"trainer.best.{metric}", direction, text, closest(metric, names)))


def example(spec: Spec, device: str) -> tuple[Tensor, Tensor]:
    """Images and labels of the data's shape, without content."""
    images = torch.empty(SAMPLES, spec.channels, spec.height, spec.width, device=device)
    return images, torch.zeros(SAMPLES, dtype=torch.int64, device=device)


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
