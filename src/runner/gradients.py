"""The backward passes of one network's loss: of this process, or of several that torch's reduction adds up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from runner.state import NonFiniteLoss

if TYPE_CHECKING:
    from torch.nn.parallel import DistributedDataParallel

    from runner.ranks import Ranks


class Gradients(Protocol):
    """The backward passes of one network's loss."""

    def backward(self, part: Tensor, loss: Tensor, *, inputs: Sequence[Tensor] | None, last: bool) -> None:
        """Add the gradients of ``part``; with the ``last`` part of a step they are whole.

        ``loss`` is the sum of the parts so far, neither scaled nor with a graph: (), or (1 + terms,) as ``detached``
        gives it. Raises ``NonFiniteLoss``.
        """
        ...

    def total(self, loss: Tensor) -> Tensor:
        """The loss of the whole batch, once its gradients are whole: in the shape of ``loss``, this process's own.

        Raises ``NonFiniteLoss``.
        """
        ...


class Local:
    """Gradients of one process alone."""

    def __init__(self, label: str) -> None:
        self.label = label

    def backward(self, part: Tensor, loss: Tensor, *, inputs: Sequence[Tensor] | None, last: bool) -> None:  # noqa: ARG002
        if loss.is_cpu:  # where looking is free; elsewhere it would stop the queue at each step
            require_finite(self.label, loss if loss.ndim == 0 else loss[0])
        torch.autograd.backward(part, inputs=inputs)

    def total(self, loss: Tensor) -> Tensor:
        return loss


def require_finite(label: str, loss: Tensor) -> None:
    """Looks at it on the host. Raises ``NonFiniteLoss``."""
    value = loss.item()
    if not math.isfinite(value):
        raise NonFiniteLoss(label, value)


class _Held(nn.Module):
    """What is reduced with a network: the gradients of its ``weights``, and a few numbers as that of ``tally``."""

    def __init__(self, weights: Sequence[nn.Parameter], *, numbers: int, device: torch.device) -> None:
        super().__init__()
        self.weights = nn.ParameterList(weights)  # without the buffers, which Ranks shares
        self.tally = nn.Parameter(torch.zeros(numbers, device=device))

    def forward(self, loss: Tensor, numbers: Tensor) -> Tensor:
        told: Tensor = loss + torch.dot(self.tally, numbers)
        return told


class Joint:
    """Gradients of all ranks: the means over the whole batch, equal on each.

    Torch's reduction begins with the forward pass of what it wraps. Wrapped here is not the network but the last step
    to the loss, so that networks keep their names, are called as often as a task likes, and micro-batches before the
    last one send nothing.
    """

    def __init__(self, label: str, network: nn.Module, ranks: Ranks) -> None:
        self.label = label
        self.parameters = tuple(network.parameters())
        self.ranks = ranks
        self.ddp: DistributedDataParallel | None = None
        self._trained = 0

    def backward(self, part: Tensor, loss: Tensor, *, inputs: Sequence[Tensor] | None, last: bool) -> None:
        weighted = part * self.ranks.share
        trained = sum(parameter.requires_grad for parameter in self.parameters)
        if self.ddp is None or trained != self._trained:  # some have thawed: their gradients travel from now on
            self.ddp, self._trained = None, trained
            self.ddp = self._wrapped(weighted, numbers=loss.numel() + len(self.ranks.wishes()))
        if last:
            wishes = torch.tensor(self.ranks.wishes())
            own = (loss.float() * self.ranks.share).reshape(-1)
            weighted = self.ddp(weighted, torch.cat([own, wishes.to(own.device, non_blocking=True)]))
            inputs = None if inputs is None else [*inputs, self.ddp.module.tally]
        torch.autograd.backward(weighted, inputs=inputs)

    def total(self, loss: Tensor) -> Tensor:
        assert self.ddp is not None, "backward comes first"
        tally = self.ddp.module.tally
        numbers, tally.grad = tally.grad.clone(), None
        if self.ranks.look(numbers[loss.numel() :]):
            require_finite(self.label, numbers[0])
        whole: Tensor = numbers[: loss.numel()].view_as(loss).to(loss.dtype)
        return whole

    def _wrapped(self, loss: Tensor, *, numbers: int) -> DistributedDataParallel:
        """Made at the first loss, from which it can be seen whether all weights are used."""
        from torch.nn.parallel import DistributedDataParallel

        used = reached(loss)
        trained = [parameter for parameter in self.parameters if parameter.requires_grad]
        unused = self.ranks.first(lambda: any(parameter not in used for parameter in trained))
        ddp = DistributedDataParallel(
            _Held(trained, numbers=numbers, device=loss.device),
            init_sync=False,  # done at the start
            gradient_as_bucket_view=True,
            find_unused_parameters=unused,
        )
        if not unused:
            _settle(ddp)
        return ddp


def _settle(ddp: DistributedDataParallel) -> None:
    """Have torch arrange the messages now: it does so once, after the first backward pass, and in which order sums are
    taken depends on it. A resumed run would take its first step in another order than the run that it goes on with.
    """
    parameters = [parameter for parameter in ddp.parameters() if parameter.requires_grad]
    nothing = torch.stack([parameter.sum().float() * 0 for parameter in parameters]).sum()
    ddp(nothing, torch.zeros_like(ddp.module.tally)).backward()
    for parameter in parameters:
        parameter.grad = None


def reached(loss: Tensor) -> set[Tensor]:
    """The leaves of the graph behind ``loss``."""
    found: set[Tensor] = set()
    pending, seen = [loss.grad_fn], set()
    while pending:
        node = pending.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None:
            found.add(leaf)
        pending += [following for following, _ in node.next_functions]
    return found
