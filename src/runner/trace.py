"""Every tensor of a training, in the order in which they come to be: recorded, and held against a record."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from runner import digest
from runner.batch import Batch, tensors
from runner.checkpoint import NoCheckpoints
from runner.losses.terms import Loss
from runner.metrics import Metrics
from runner.observers.observers import Observers
from runner.problem import Interrupted
from runner.session import Session
from runner.tasks.task import Task

DATA, BACKWARD = "the data", "the backward pass"

See = Callable[[int, str, Tensor], None]
"""Is shown (step being made, what it is, the tensor)."""


@dataclass(frozen=True)
class Difference:
    """The first tensor that was not the same again. ``step`` is the one being made, from 1; 0 is before all."""

    step: int
    what: str  # "output of model.fc (Linear)"
    largest: float | None = None  # absolute; None where the first pass's tensor was not kept

    def text(self) -> str:
        told = "" if self.largest is None else f", largest difference {self.largest:.2g}"
        return f"step {self.step}: {self.what}{told}"


def train(session: Session, *, steps: int) -> None:
    """Make the first ``steps`` steps with no evaluation and no checkpoint among them.

    Raises ``Interrupted`` when it was asked to stop.
    """
    assert session.state.step == 0, "a session to examine is a fresh one"
    never = steps + 1
    plan = replace(session.plan, total_steps=never, evaluate_every_steps=never, save_every_steps=never)
    replace(session, plan=plan.until(steps), checkpoints=NoCheckpoints()).train()
    if session.state.step < steps:
        raise Interrupted(session.state.stop)


@dataclass(frozen=True)
class Event:
    """One tensor that came to be; ``step`` is the one being made, 0 before the first."""

    step: int
    what: str
    digest: str
    kept: Tensor | None  # on the host


class Recording:
    """What a first pass showed; the tensors themselves as long as they fit into ``room_bytes``."""

    def __init__(self, *, room_bytes: int = 2**30) -> None:
        self.events: list[Event] = []
        self.room_bytes = room_bytes

    def see(self, step: int, what: str, tensor: Tensor) -> None:
        copy = tensor.to("cpu", copy=True)
        self.room_bytes -= copy.nbytes
        self.events.append(Event(step, what, digest.of_tensor(copy), copy if self.room_bytes >= 0 else None))


class Check:
    """Holds a second pass against the first, up to the first difference."""

    def __init__(self, expected: Sequence[Event]) -> None:
        self.expected = expected
        self.tensors = 0
        self.difference: Difference | None = None

    def see(self, step: int, what: str, tensor: Tensor) -> None:
        if self.difference is not None:
            return
        event = self.expected[self.tensors] if self.tensors < len(self.expected) else Event(step, "the end", "", None)
        self.tensors += 1
        if (event.step, event.what) != (step, what):
            self.difference = Difference(step, f"{what}, where the first pass came to {event.what}")
        elif event.digest != digest.of_tensor(tensor):
            self.difference = Difference(step, what, _largest(event.kept, tensor))

    def end(self, steps: int) -> Difference | None:
        """The difference, now that the second pass is over."""
        if self.difference is None and self.tensors < len(self.expected):
            return Difference(steps, f"the end, where the first pass came to {self.expected[self.tensors].what}")
        return self.difference


def _largest(kept: Tensor | None, tensor: Tensor) -> float | None:
    if kept is None or kept.shape != tensor.shape:
        return None
    wide = torch.complex128 if kept.is_complex() else torch.float64
    return float((kept.to(wide) - tensor.cpu().to(wide)).abs().max())


class _WatchedTask(Task):
    """The task, with its batches and losses shown on their way."""

    def __init__(self, task: Task, watch: Watch) -> None:
        super().__init__()
        self.task = task
        self.watch = watch
        self.name = type(task).__name__

    def losses(self, batch: Batch) -> Iterator[tuple[str, Loss]]:
        self.watch.look("batch", batch)
        self.watch.enter(self.name)
        for name, loss in self.task.losses(batch):
            self.watch.look(f"loss of {name}", loss)
            self.watch.enter(BACKWARD)
            yield name, loss
            self.watch.enter(self.name)

    def scores(self, batch: Batch, metrics: Metrics) -> None:
        self.watch.look("evaluation batch", batch)
        self.watch.enter(self.name)
        self.task.scores(batch, metrics)


def is_compiled(module: nn.Module) -> bool:
    """By ``module.compile``: torch keeps it under no public name."""
    return module._compiled_call_impl is not None


class Watch(Observers):
    """Shows the tensors of a training to ``see``, and knows ``where`` it is at work.

    It leaves hooks in the session, which is not to be used again.
    """

    def __init__(self, session: Session, see: See) -> None:
        super().__init__((), session.plan)
        self.session = replace(session, task=_WatchedTask(session.task, self), observers=self)
        self.see = see
        self.step = 0
        self.where = DATA
        self.calls: list[tuple[str, set[Any]]] = []  # of modules at work: (where the call is, the inputs' graph nodes)
        self.owned: set[Any] = set()  # nodes of the graph that belong to a module
        self.task = session.task
        self.names: dict[Tensor, str] = {parameter: name for name, parameter in session.task.named_parameters()}
        self._hook_modules()
        for parameter, name in self.names.items():
            if parameter.requires_grad:
                hook = functools.partial(self._accumulated, name)
                parameter.register_post_accumulate_grad_hook(hook)  # type: ignore[no-untyped-call]
        for update in session.updates.values():
            update.optimizer.register_step_pre_hook(lambda *_: self.enter("the optimizer's step"))
            update.optimizer.register_step_post_hook(lambda optimizer, *_: self._updated(optimizer))

    def train(self, steps: int) -> None:
        """All steps, and an evaluation."""
        for name, tensor in digest.weights(self.task).items():
            self.look(f"initial {name}", tensor)
        self.step = 1
        train(self.session, steps=steps)
        self.step = steps
        for name, score in self.session.evaluate("valid", steps).items():
            self.look(f"score {name}", torch.tensor(score, dtype=torch.float64))

    def look(self, what: str, shown: Batch) -> None:
        for tensor in tensors(shown):
            dense = tensor.detach() if tensor.layout is torch.strided else tensor.detach().to_dense()
            self.see(self.step, what, dense)

    def enter(self, place: str) -> None:
        self.where = place

    def stepped(self, step: int, losses: Mapping[str, Tensor], *, samples: int) -> None:  # noqa: ARG002
        for name, buffer in self.task.named_buffers():
            self.look(f"buffer after the step: {name}", buffer)
        self.step = step + 1
        self.where = DATA
        self.owned.clear()
        self.calls.clear()  # a module that raised, and whose caller went on, never returned

    def _accumulated(self, name: str, parameter: Tensor) -> None:
        self.look(f"gradient of {name}", parameter.grad)

    def _updated(self, optimizer: torch.optim.Optimizer) -> None:
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        for parameter in parameters:
            for key, value in optimizer.state.get(parameter, {}).items():
                self.look(f"optimizer state {key} of {self._name(parameter)}", value)
        for parameter in parameters:
            self.look(f"weight after the update: {self._name(parameter)}", parameter)

    def _name(self, parameter: Tensor) -> str:
        return self.names.get(parameter, "a parameter outside of the task")

    def _hook_modules(self) -> None:
        compiled: list[str] = []  # each is one operation, whose parts never run by themselves
        for name, module in self.task.named_modules():
            if is_compiled(module):
                compiled.append(f"{name}.")
            if not name or f"{name}.".startswith(tuple(compiled)):
                continue
            place = f"{name} ({type(module).__name__})"
            module.register_forward_pre_hook(self._called(place), with_kwargs=True)
            module.register_forward_hook(self._returned(place), with_kwargs=True)

    def _called(self, place: str) -> Callable[..., None]:
        def hook(_module: nn.Module, *inputs: Any) -> None:
            self.calls.append((self.where, {tensor.grad_fn for tensor in tensors(inputs)}))
            self.where = place

        return hook

    def _returned(self, place: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _args: Any, _kwargs: Any, output: Any) -> None:
            self.look(f"output of {place}", output)
            self.where, before = self.calls.pop()
            self._own(place, output, before)

        return hook

    def _own(self, place: str, output: Any, before: set[Any]) -> None:
        """Have the backward pass say when it is in the module: its nodes lie between its inputs' and its outputs'."""
        pending, seen = [tensor.grad_fn for tensor in tensors(output)], set(before)
        while pending:
            node = pending.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            pending += [following for following, _ in node.next_functions]
            if node not in self.owned:  # by a module in this one
                self.owned.add(node)
                node.register_prehook(lambda *_: self.enter(f"{BACKWARD} of {place}"))
