"""Parameters that stay as they are until an epoch, or for ever: the inverse of ``ending``."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Protocol

from torch import Tensor, nn
from torch.optim import Optimizer

from runner.optim.ending import last_step
from runner.optim.groups import closest_names
from runner.plan import Plan
from runner.problem import Problem

Until = Mapping[str, float | None]
"""By glob over names of parameters: the epoch at which those that match thaw, None for never. The first one wins."""


class Frozen(Protocol):
    def begin(self, step: int) -> None:
        """The next step is made, after ``step`` completed ones."""
        ...


class NothingFrozen:
    """All that can be trained is."""

    def begin(self, step: int) -> None: ...


class Freezing:
    """Frozen parameters of ``task``: no gradients, hence no update, decay or momentum, until they thaw.

    From then on they are trained as if they began: what an optimizer remembers starts anew. Gradients of what is
    frozen are not computed, and the backward pass goes no deeper than needed. A normalising layer with running
    statistics keeps and uses them while all its own parameters are frozen; one without parameters, while a pattern
    matches the names of its statistics. Dropout goes on. All is a function of the step: nothing has to be saved.
    Raises ``ValueError`` for what is no epoch, and for a pattern without a parameter; ``faults`` has more to say.
    """

    def __init__(self, task: nn.Module, until: Until, *, plan: Plan) -> None:
        for problem in _wrong_patterns(task, until):
            raise ValueError(problem.line())
        thaws = thaw_steps(task, until, plan=plan)
        named = dict(task.named_parameters())
        self._parameters: list[tuple[Tensor, float]] = [(named[name], step) for name, step in thaws.items()]
        self._layers = list(_held(task, until, thaws, plan=plan))
        self._thaws = sorted({step for _, step in (*self._parameters, *self._layers)})
        self._phase = -1  # how many of these have passed
        self._frozen: list[Tensor] = []
        self._still: list[nn.Module] = []

    def begin(self, step: int) -> None:
        phase = bisect_right(self._thaws, step)
        if phase != self._phase:
            self._phase = phase
            self._enter(step)
        for parameter in self._frozen:
            if parameter.requires_grad:
                parameter.requires_grad_(False)
        for layer in self._still:
            if layer.training:  # again since the last evaluation
                layer.training = False

    def _enter(self, step: int) -> None:
        before, self._frozen = self._frozen, [tensor for tensor, thaw in self._parameters if step < thaw]
        still, self._still = self._still, [layer for layer, thaw in self._layers if step < thaw]
        for parameter in before:
            parameter.requires_grad_(True)
        for layer in still:
            layer.training = True


def thaw_epochs(task: nn.Module, until: Until) -> dict[str, float | None]:
    """The epoch at which each frozen parameter thaws, by name; None for never."""
    owners = {name: _owner(name, until) for name in _trainable(task)}
    return {name: until[owner] for name, owner in owners.items() if owner is not None}


def thaw_steps(task: nn.Module, until: Until, *, plan: Plan) -> dict[str, float]:
    """The completed steps after which each frozen parameter is trained, by name; infinitely many for never."""
    return {name: _steps(epoch, plan) for name, epoch in thaw_epochs(task, until).items()}


def faults(
    task: nn.Module, until: Until, *, plan: Plan, optimizers: Mapping[str, Optimizer] | None = None
) -> Iterator[Problem]:
    """What stands against it, by pattern; with the ``optimizers`` of the networks also when one has nothing to train.

    Call it before anything is frozen.
    """
    wrong = [*_wrong_patterns(task, until)] or [*_beyond(until, plan)]
    yield from wrong
    if not wrong and optimizers is not None:
        thaws = thaw_steps(task, until, plan=plan)
        named = dict(task.named_parameters())
        starts = {named[name]: step for name, step in thaws.items()}
        for network, optimizer in optimizers.items():
            yield from _idle(network, optimizer, starts, plan)


def told(task: nn.Module, until: Until, *, plan: Plan) -> str:
    """How much each pattern freezes, how long: "stem.*: 4 parameters (1,234 weights) until epoch 3 (step 9)"."""
    sizes: dict[str, list[int]] = {pattern: [] for pattern in until}
    thaws = thaw_steps(task, until, plan=plan)
    for name in thaws:
        sizes[str(_owner(name, until))].append(task.get_parameter(name).numel())
    parts = [
        f"{pattern}: {len(sizes[pattern])} parameters ({sum(sizes[pattern]):,} weights) {_how_long(epoch, plan)}"
        for pattern, epoch in until.items()
    ]
    layers = len(list(_held(task, until, thaws, plan=plan)))
    statistics = [f"normalising layers that keep their statistics: {layers}"] if layers else []
    return "; ".join([*parts, *statistics])


def _how_long(epoch: float | None, plan: Plan) -> str:
    return "for ever" if epoch is None else f"until epoch {epoch:g} (step {_steps(epoch, plan):g})"


def _steps(epoch: float | None, plan: Plan) -> float:
    return math.inf if epoch is None or math.isinf(epoch) else round(epoch * plan.steps_per_epoch)


def _trainable(task: nn.Module) -> list[str]:
    return [name for name, parameter in task.named_parameters() if parameter.requires_grad]


def _matches(name: str, pattern: str) -> bool:
    """Of ``model.conv1.weight`` both that and ``conv1.weight``, without the network's name, may match."""
    return fnmatchcase(name, pattern) or fnmatchcase(name.partition(".")[2], pattern)


def _owner(name: str, until: Until) -> str | None:
    return next((pattern for pattern in until if _matches(name, pattern)), None)


def _held(
    task: nn.Module, until: Until, thaws: Mapping[str, float], *, plan: Plan
) -> Iterator[tuple[nn.Module, float]]:
    """Layers whose running statistics are kept and used, each with the step from which on it follows the data."""
    for prefix, layer in task.named_modules():
        if getattr(layer, "running_mean", None) is None:
            continue
        own = [name for name, tensor in layer.named_parameters(prefix, recurse=False) if tensor.requires_grad]
        owner = _owner(f"{prefix}.running_mean", until)
        of_statistics = 0.0 if owner is None else _steps(until[owner], plan)
        thaw = min((thaws.get(name, 0.0) for name in own), default=of_statistics)
        if thaw:
            yield layer, thaw


def _wrong_patterns(task: nn.Module, until: Until) -> Iterator[Problem]:
    names = _trainable(task)
    owners = {_owner(name, until) for name in names}
    for pattern, epoch in until.items():
        key = f"freeze.{pattern}"
        if epoch is not None and (isinstance(epoch, bool) or not isinstance(epoch, (int, float)) or not epoch > 0):
            yield Problem(key, epoch, "must be the epoch at which they thaw, or null for never", f"set {key}=<epoch>")
        elif pattern not in owners:
            yield Problem(key, epoch, *_unmatched(pattern, names, until))


def _beyond(until: Until, plan: Plan) -> Iterator[Problem]:
    for pattern, epoch in until.items():
        if epoch is not None and not 1 <= epoch * plan.steps_per_epoch < plan.total_steps:
            text = f"is no epoch within the training, which has {plan.total_epochs:g}"
            yield Problem(f"freeze.{pattern}", epoch, text, "thaw earlier, or set it to null for never")


def _unmatched(pattern: str, names: Sequence[str], until: Until) -> tuple[str, str]:
    if any(_matches(name, pattern) for name in names):
        earlier = ", ".join(list(until)[: list(until).index(pattern)])
        return f"is left no parameter: {earlier} come first", "put it before"
    several = len({name.partition(".")[0] for name in names}) > 1
    known = list(names) if several else [name.partition(".")[2] for name in names]
    return "matches no parameter that is trained", closest_names(pattern, known)


def _idle(network: str, optimizer: Optimizer, starts: Mapping[Any, float], plan: Plan) -> Iterator[Problem]:
    """When nothing of a network would be trained: each of its losses needs something to change."""
    reached = 0.0
    for start, end in sorted(times for times in _times(optimizer, starts, plan) if times[0] < plan.total_steps):
        if start >= end:
            text = f"thaws at step {start:g} what is trained for {end:g} steps only"
            yield Problem("freeze", None, text, "thaw it earlier, or take it out of optimizer.groups")
            return
        if start > reached:
            break
        reached = max(reached, end)
    if reached < plan.total_steps:
        text = f"leaves nothing of {network!r} to train in step {reached + 1:g} of {plan.total_steps}"
        yield Problem("freeze", None, text, "freeze less of it")


def _times(optimizer: Optimizer, starts: Mapping[Any, float], plan: Plan) -> set[tuple[float, float]]:
    """From which step on, and up to which, parameters are trained."""
    return {
        (starts.get(parameter, 0.0), math.inf if (end := last_step(group, plan)) is None else end)
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
