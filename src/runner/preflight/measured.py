"""What an evaluation measures, and whether that is what others follow."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import torch

from runner.config import build
from runner.data.source import Splits
from runner.metrics import Metrics
from runner.preflight.settings import closest
from runner.preflight.step import Recorder
from runner.problem import Problem
from runner.tasks.task import Task
from runner.update import loss_label

ENDING = {f"runner.optim.schedulers.{name}" for name in ("cosine", "linear", "one_cycle")}
NO_CLASSES = ("boxes", "image", "tokens")  # outputs
OF_CLASSES = {
    f"runner.metrics.{name}" for name in ("accuracy", "top5", "precision", "recall", "f1", "confusion_matrix")
}


def metric_problems(
    name: str, node: Mapping[str, Any], *, recorder: Recorder, task: Task, splits: Splits
) -> list[Problem]:
    """Why the metric ``name`` cannot be computed of what one step gave to ``recorder``."""
    if not recorder.given or (task.output in NO_CLASSES and node.get("_target_") in OF_CLASSES):
        text = f"measures nothing that {type(task).__name__} gives"
        return [Problem(f"metrics.{name}", None, text, f"take {name} out of metrics=[…]")]
    ignored = splits.ignore_index
    if ignored is not None and node.get("ignore_index", ignored) != ignored:
        text, remedy = "counts labels that do not count", f"set metrics.{name}.ignore_index={ignored}"
        return [Problem(f"metrics.{name}.ignore_index", node["ignore_index"], text, remedy)]
    return []


def measured(name: str, node: Mapping[str, Any], *, recorder: Recorder, splits: Splits) -> dict[str, float]:
    """The scores by which the metric ``name`` goes, of zeros in the shapes that one step gave."""
    metric = Metrics({name: build.instantiate(node, **splits.measured())})
    for given in recorder.given:
        metric.update(*(torch.zeros(tensor.shape, dtype=tensor.dtype, device="cpu") for tensor in given))
    return metric.compute()


def training_losses(task: Task, recorder: Recorder) -> list[str]:
    """What the losses of the networks and their terms are called in the records."""
    networks = task.networks()
    alone = len(networks) == 1
    return [loss_label(name, alone=alone, term=term) for name in networks for term in ("loss", *recorder.terms[name])]


def followed_problems(
    followed: Iterable[tuple[str, str | None]], *, names: Iterable[str], task: Task
) -> Iterator[Problem]:
    """What schedules and rules that end training follow must be in ``names``, or for a rule be a learning rate."""
    networks = task.networks()
    rates = ["lr"] if len(networks) == 1 else [f"lr/{name}" for name in networks]
    for key, monitor in sorted(followed, key=str):
        known = [*names] if key.startswith("scheduler") else [*names, *rates]
        if monitor is not None and monitor not in known:
            yield Problem(key, monitor, f"is not measured; there are: {', '.join(known)}", closest(monitor, known))


def pace_problems(scheduler: Mapping[str, Any], steps: Mapping[str, int]) -> Iterator[Problem]:
    """A schedule counts the ``steps`` of its optimizer; one that ends with the run must not take several a batch."""
    target = scheduler["_target_"]
    often = [f"{name} takes {count} steps" for name, count in steps.items() if count > 1]
    if often and target in ENDING and scheduler.get("interval", "step") == "step":
        text = f"would end long before the run: {' and '.join(often)} on each batch"
        yield Problem("scheduler", target.rpartition(".")[2], text, "set scheduler=constant")


def best_problems(best: Mapping[str, str], names: Collection[str]) -> Iterator[Problem]:
    """Metrics that choose checkpoints must be measured."""
    for metric, direction in best.items():
        if metric not in names:
            text = f"is not measured; there are: {', '.join(sorted(names))}"
            remedy = closest(metric, names) or f"take it out with ~trainer.best.{metric}"
            yield Problem(f"trainer.best.{metric}", direction, text, remedy)
