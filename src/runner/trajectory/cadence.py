"""At which steps the weights are recorded. Free of torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from runner.plan import Plan
from runner.problem import Problem

WAYS = ("every_epochs", "every_steps", "per_decade")


@dataclass(frozen=True)
class Cadence:
    """One of: every so many epochs, every so many steps, so many times in each decade of steps (1, 10, 100, …).

    ``at_steps`` are positions within an epoch, in steps since its beginning, with ``every_epochs`` only: each of them
    in every ``every_epochs``-th epoch. Step 0 is always due. Nothing here depends on the budget, so that a run that is
    extended is recorded like a longer one. Raises ``ValueError`` unless one cadence is given, and it is positive.
    """

    every_epochs: int | None = None
    every_steps: int | None = None
    per_decade: int | None = None
    at_steps: Sequence[int] = (0,)

    def __post_init__(self) -> None:
        given = {name: getattr(self, name) for name in WAYS if getattr(self, name) is not None}
        if len(given) != 1:
            told = ", ".join(f"{name}={value}" for name, value in given.items()) or "none"
            raise ValueError(f"give one of {', '.join(WAYS)}, got {told}; set the others to null")
        for name, value in given.items():
            if not _is_whole(value) or value < 1:
                raise ValueError(f"{name} must be a whole number, at least 1, got {value}; set trajectory.{name}=<n>")
        if not isinstance(self.at_steps, Sequence) or not all(map(_is_whole, self.at_steps)):
            raise ValueError(
                f"at_steps must be a list of whole numbers, got {self.at_steps}; set trajectory.at_steps=[0]"
            )
        if self.every_epochs is None and tuple(self.at_steps) != (0,):
            raise ValueError(
                f"at_steps={list(self.at_steps)} are positions in an epoch; they go with every_epochs only"
            )
        if not self.at_steps or min(self.at_steps) < 0:
            raise ValueError(
                f"at_steps needs positions from 0 on, got {list(self.at_steps)}; set trajectory.at_steps=[0]"
            )

    def due(self, step: int, plan: Plan) -> bool:
        """Whether the weights after ``step`` completed steps are recorded."""
        if step == 0:
            return True
        if self.every_steps is not None:
            return step % self.every_steps == 0
        if self.every_epochs is not None:
            epoch, position = plan.position(step)
            return epoch % self.every_epochs == 0 and position in self.at_steps
        assert self.per_decade is not None, "one of them is given"
        return _is_on_scale(step, self.per_decade)

    def steps(self, plan: Plan) -> Iterator[int]:
        """All that are due in the whole budget, and the last one, at which training ends."""
        return (step for step in range(plan.total_steps + 1) if self.due(step, plan) or step == plan.total_steps)

    def problems(self, plan: Plan) -> Iterator[Problem]:
        """A position that no epoch has, and a cadence of which only the first and the last step would come."""
        length = plan.steps_per_epoch
        beyond = [position for position in self.at_steps if position >= length]
        if beyond:
            text = f"an epoch has {length} steps: there is no position {beyond[0]}"
            yield Problem("at_steps", list(self.at_steps), text, f"set trajectory.at_steps=[…] below {length}")
        elif not any(self.due(step, plan) for step in range(1, plan.total_steps + 1)):
            name = next(name for name in WAYS if getattr(self, name) is not None)
            text = f"would record nothing of the {plan.total_steps} steps of training ({length} an epoch)"
            yield Problem(name, getattr(self, name), text, f"set trajectory.{name} to less, or trajectory=log")


def _is_whole(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and float(value).is_integer()


def _is_on_scale(step: int, per_decade: int) -> bool:
    """Whether ``step`` is one of ``round(10 ** (k / per_decade))``."""
    exponent = round(math.log10(step) * per_decade)
    return any(round(10 ** (near / per_decade)) == step for near in (exponent - 1, exponent, exponent + 1) if near >= 0)
