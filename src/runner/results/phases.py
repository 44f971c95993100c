"""A run's training in the pieces that its budget came in: a run that was extended had two. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from runner.config.identity import BUDGET


@dataclass(frozen=True)
class Phase:
    """Training under one budget, ``{"trainer.epochs": 10, "trainer.steps": None}``, left after ``until_steps``."""

    budget: Mapping[str, Any]
    until_steps: int | None = None

    def overrides(self) -> list[str]:
        """Those that ask for the budget; steps, if given, stand for themselves."""
        epochs, steps = (self.budget[key] for key in BUDGET)
        return [f"trainer.steps={steps}"] if steps is not None else [f"trainer.epochs={epochs}", "trainer.steps=null"]


def phases(sessions: Sequence[Mapping[str, Any]], budget: Mapping[str, Any]) -> list[Phase]:
    """The phases of a run with these ``sessions``, as its manifest has them, whose budget is ``budget`` now."""
    found = [Phase(dict(budget))]
    for session in reversed(sessions[1:]):
        changed = {key: session["changed"].get(f"config.{key}") for key in BUDGET}
        before = {key: pair[0] for key, pair in changed.items() if pair is not None}
        if before:
            found.append(Phase({**found[-1].budget, **before}, session["first_step"]))
    return found[::-1]


def left_after(given: Sequence[Phase], steps: int | None) -> list[Phase]:
    """The same phases, left after ``steps`` steps in all; None leaves them whole."""
    if steps is None:
        return list(given)
    kept: list[Phase] = []
    for phase in given:
        if phase.until_steps is None or phase.until_steps >= steps:
            return [*kept, replace(phase, until_steps=steps)]
        kept.append(phase)
    return kept
