"""When things happen: every duration becomes a number of steps, once."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


def steps_of(name: str, *, epochs: float | None, steps: int | None, steps_per_epoch: int) -> int | None:
    """A duration that may be given in epochs or in steps, in steps; None when neither is given.

    Raises ``ValueError`` when both are given or the duration is not positive.
    """
    if epochs is not None and steps is not None:
        raise ValueError(f"{name} may be given in epochs or in steps, not both: got {epochs} epochs and {steps} steps")
    if steps is None and epochs is None:
        return None
    if steps is None and not math.isfinite(epochs or 0):
        raise ValueError(f"{name} must end, got {epochs} epochs")
    length = steps if steps is not None else round(epochs * steps_per_epoch)  # type: ignore[operator]
    if length < 1:
        unit = f"{steps} steps" if steps is not None else f"{epochs} epochs"
        raise ValueError(f"{name} must last at least one step, got {unit}")
    return length


@dataclass(frozen=True)
class Plan:
    """The timetable of one run. A step is a completed optimizer update; everything else is counted in steps."""

    steps_per_epoch: int
    total_steps: int
    evaluate_every_steps: int
    save_every_steps: int
    log_every_steps: int
    pause_steps: int | None = None  # where training leaves off for now, whatever the timetable says

    @classmethod
    def of(
        cls,
        steps_per_epoch: int,
        *,
        epochs: float | None = None,
        steps: int | None = None,
        evaluate_every_epochs: float | None = None,
        evaluate_every_steps: int | None = None,
        save_every_epochs: float | None = None,
        save_every_steps: int | None = None,
        log_every_steps: int = 50,
    ) -> Plan:
        """Resolve durations; a cadence that is not given is one epoch. Raises ``ValueError`` for one that cannot be."""

        def length(name: str, epochs: float | None, steps: int | None) -> int | None:
            return steps_of(name, epochs=epochs, steps=steps, steps_per_epoch=steps_per_epoch)

        total = length("the budget", epochs, steps)
        if total is None:
            raise ValueError("a budget is needed: give epochs or steps")
        if log_every_steps < 1:
            raise ValueError(f"log_every_steps must be at least 1, got {log_every_steps}")
        return cls(
            steps_per_epoch=steps_per_epoch,
            total_steps=total,
            evaluate_every_steps=length("evaluation", evaluate_every_epochs, evaluate_every_steps) or steps_per_epoch,
            save_every_steps=length("saving", save_every_epochs, save_every_steps) or steps_per_epoch,
            log_every_steps=log_every_steps,
        )

    def cut(self, steps: int | None) -> Plan:
        """The same timetable, ended after ``steps`` steps at the latest; None leaves it whole."""
        return self if steps is None else replace(self, total_steps=min(steps, self.total_steps))

    def until(self, steps: int | None) -> Plan:
        """The same timetable, left after ``steps`` steps: what is not yet due does not happen."""
        return replace(self, pause_steps=steps)

    @property
    def last_step(self) -> int:
        """The step at which training leaves off."""
        return self.total_steps if self.pause_steps is None else min(self.pause_steps, self.total_steps)

    def logs(self, step: int) -> bool:
        return step % self.log_every_steps == 0 or step == self.total_steps

    def evaluates(self, step: int) -> bool:
        return step % self.evaluate_every_steps == 0 or step == self.total_steps

    def saves(self, step: int) -> bool:
        return step % self.save_every_steps == 0 or step == self.total_steps

    def epoch(self, step: int) -> float:
        """Completed passes over the training part after ``step`` steps, with the fraction of the one begun."""
        return step / self.steps_per_epoch

    def position(self, step: int) -> tuple[int, int]:
        """(epoch, batch in it) of the step that follows ``step`` completed ones."""
        return divmod(step, self.steps_per_epoch)

    @property
    def total_epochs(self) -> int:
        return math.ceil(self.total_steps / self.steps_per_epoch)
