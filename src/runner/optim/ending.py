"""Parameters that are trained for a while only, and then stay as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import distributed
from torch.optim import Optimizer

from runner.optim.schedule import Scheduler
from runner.plan import Plan, steps_of

TRAINED_FOR = ("train_epochs", "train_steps")  # what a group may set besides the arguments of its optimizer


def last_step(group: Mapping[str, Any], plan: Plan) -> int | None:
    """The last step in which the parameters of ``group`` are trained; None where that is the run's.

    Raises ``ValueError`` where ``steps_of`` does.
    """
    epochs, steps = (group.get(key) for key in TRAINED_FOR)
    return steps_of("optimizer.groups: train", epochs=epochs, steps=steps, steps_per_epoch=plan.steps_per_epoch)


def ending(schedule: Scheduler, optimizer: Optimizer, *, plan: Plan) -> Scheduler:
    """``schedule`` under which each group of parameters stays as it is after its ``last_step``.

    Raises ``ValueError`` when nothing would be left to train before the plan ends.
    """
    ends = [last_step(group, plan) for group in optimizer.param_groups]
    known = [end for end in ends if end is not None]
    if not known:
        return schedule
    if len(known) == len(ends) and max(known) < plan.total_steps:
        raise ValueError(
            f"optimizer.groups leaves nothing to train after step {max(known)} of {plan.total_steps}; "
            "take train_epochs or train_steps from one of them"
        )
    return Ending(schedule, optimizer, ends)


class Ending:
    """A schedule, and the step after which each group of ``optimizer`` is no longer trained, None for never.

    Gradients of such a group are no longer computed, which saves their share of the backward pass; where several
    processes reduce gradients, which must be the same ones in each step, only its learning rate is 0.
    """

    def __init__(self, schedule: Scheduler, optimizer: Optimizer, ends: list[int | None]) -> None:
        self.schedule = schedule
        self.optimizer = optimizer
        self.ends = ends
        self.steps = 0
        self.interval = schedule.interval
        self.monitor = schedule.monitor
        self.moves_momentum = schedule.moves_momentum

    def step(self) -> None:
        self.schedule.step()
        self.steps += 1
        self._settle()

    def evaluated(self, metrics: Mapping[str, float]) -> None:
        self.schedule.evaluated(metrics)
        self._settle()

    def _settle(self) -> None:
        alone = not (distributed.is_available() and distributed.is_initialized())
        for group, end in zip(self.optimizer.param_groups, self.ends, strict=True):
            if end is None:
                continue
            ended = self.steps >= end
            if ended:
                group["lr"] = 0.0
            trained = not (ended and alone)
            if group["params"][0].requires_grad != trained:
                for parameter in group["params"]:
                    parameter.requires_grad_(trained)

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "schedule": self.schedule.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.schedule.load_state_dict(state["schedule"])
        self.steps = state["steps"]
        self._settle()
