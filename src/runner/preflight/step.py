"""One training step and one evaluation, for what they show of shapes: on tensors without content, or with any."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn

from runner.batch import Batch, map_tensors, stacked
from runner.data.prepare import Prepare, has_images
from runner.data.source import AnySpec, MaskSpec, Splits
from runner.losses.terms import Loss, named, total
from runner.metrics import Metrics
from runner.randomness import Randomness
from runner.tasks.task import Task


class Recorder:
    """Stands in for ``Metrics`` on meta tensors: what a task measures and minimises, and the shapes for its metrics."""

    def __init__(self) -> None:
        self.steps: Counter[str] = Counter()  # that each network takes on a batch
        self.terms: dict[str, tuple[str, ...]] = {}  # of each network's loss
        self.means: list[str] = []
        self.given: list[tuple[Tensor, ...]] = []

    def mean(self, name: str, value: Tensor, weight: Tensor | int) -> None:  # noqa: ARG002
        self.means.append(name)

    def loss(self, loss: Loss, weight: object) -> None:  # noqa: ARG002
        self.means += ["loss", *named(loss)]

    def update(self, *tensors: Tensor) -> None:
        self.given.append(tensors)


@contextmanager
def watched(task: Task, batch: Batch, spec: AnySpec) -> Iterator[None]:
    """Inside, a model whose output the task cannot mean raises ``ValueError`` before a loss broadcasts it away."""
    model = getattr(task, "model", None)
    says = any("output" in vars(kind) for kind in type(task).__mro__ if kind is not Task)
    if not says or not isinstance(model, nn.Module) or not isinstance(next(iter(batch), None), Tensor):
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
        needed = (size[0], spec.num_classes, *size[2:])
        if task.output == "pixels" and given != needed:
            raise ValueError(f"the model gives {given}, but scores of pixels {needed} are needed")

    hook = model.register_forward_hook(look)
    try:
        yield
    finally:
        hook.remove()


def one_step(task: Task, batch: Batch) -> Recorder:
    """Every loss with its gradients, then one evaluation. Raises ``ValueError`` for what the loop could not use."""
    networks, recorder = task.networks(), Recorder()
    for name, loss in task.losses(batch):
        if name not in networks:
            known = ", ".join(networks) or "none"
            raise ValueError(f"{type(task).__name__} yields a loss for {name!r}, but its networks are {known}")
        terms = {name: loss} if isinstance(loss, Tensor) else {f"{name}'s {term}": loss[term] for term in named(loss)}
        for term, value in terms.items():
            if value.ndim:
                raise ValueError(f"the loss of {term!r} must be one number, got the shape {tuple(value.shape)}")
        recorder.terms[name] = named(loss)
        torch.autograd.backward(total(loss))
        recorder.steps[name] += 1
    task.eval()
    with torch.no_grad():
        task.scores(batch, cast(Metrics, recorder))
    return recorder


def smallest_batch(batch_sizes: Iterable[int], micro_batches: int, world_size: int = 1) -> int:
    """The fewest samples that one process computes at once: batch norm cannot do with one."""
    own = [max(1, batch // world_size) for batch in batch_sizes]
    return min(batch // min(micro_batches, batch) for batch in own)


def example(splits: Splits, device: str, samples: int) -> Batch:
    """A batch with the shapes and types of the training part, without its content; as prepared."""
    first = splits.train[0]
    if isinstance(splits.spec, MaskSpec):
        images, masks, *rest = first
        first = (images, masks.long(), *rest)
    if has_images(first) and first[0].dtype == torch.uint8:
        first = (first[0].float(), *first[1:])
    return map_tensors(lambda tensor: torch.zeros(samples, *tensor.shape, dtype=tensor.dtype, device=device), first)


def contents(splits: Splits, samples: int, batch_size: int) -> Iterator[Batch]:
    """Batches on the CPU that differ in what they hold: the first samples, a whole batch of them, noise, zeros."""
    first = first_samples(splits, samples)
    yield first
    yield first_samples(splits, min(batch_size, len(splits.train)))
    if has_images(first):
        images, *rest = first
        yield torch.randn(images.shape, generator=torch.Generator().manual_seed(0)), *rest
    yield example(splits, "cpu", samples)


def first_samples(splits: Splits, samples: int) -> Batch:
    """The first of the training part as a model sees them, but for the augmentation."""
    rows = [splits.train[place] for place in range(samples)]
    batch = stacked(rows)
    statistics, cpu = (splits.mean or None, splits.std or None), torch.device("cpu")
    prepare = Prepare(*statistics, spec=splits.spec, randomness=Randomness(0), device=cpu)
    return prepare.evaluate(batch)
