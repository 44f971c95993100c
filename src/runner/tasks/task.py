"""The seam between models and the loop: what is minimised, and what is scored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

from runner.batch import Batch
from runner.losses.terms import Loss

if TYPE_CHECKING:
    from runner.metrics import Metrics


class Task(nn.Module):
    """A learning problem over one or more networks, which are its child modules.

    A task never sees an optimizer, a device, a dtype, a rank or a logger.
    """

    output: ClassVar[str] = "classes"
    """What its model's output means, for models that can do several things: "classes", "pixels" or "image"."""

    examples: ClassVar[tuple[str, ...]] = ()
    """The kinds of examples, as specs name them, that it can learn from; none given: preflight does not ask."""

    def losses(self, batch: Batch) -> Iterator[tuple[str, Loss]]:
        """Yield ``(name, loss)`` in the order in which the losses are minimised.

        A loss is one number, or a dict of named terms: their sum is minimised, and each is logged beside it.

        ``name`` is that of the network (see ``networks``) whose optimizer takes the step. What stands after a
        ``yield`` is computed after that step was taken.
        """
        raise NotImplementedError

    def scores(self, batch: Batch, metrics: Metrics) -> None:
        """Add an evaluation batch to ``metrics``. Called in eval mode, without gradients."""
        raise NotImplementedError

    def pictures(self, batch: Batch) -> dict[str, Tensor]:  # noqa: ARG002
        """Named image batches (B, C, H, W) that show what was learnt: values as the model sees them, or uint8."""
        return {}

    def networks(self) -> dict[str, nn.Module]:
        """The networks that have something to train, by name; one optimizer is made for each."""
        return {
            name: child
            for name, child in self.named_children()
            if any(parameter.requires_grad for parameter in child.parameters())
        }
