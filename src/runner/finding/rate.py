"""The learning-rate range test of a run that is never made."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from dataclasses import replace

import torch
from omegaconf import DictConfig
from torch import Tensor

from runner.checkpoint import NoCheckpoints
from runner.composition import compose, first_weights
from runner.config import build
from runner.finding.curve import Curve, NotFound, Ramp
from runner.interrupt import stops_on_signals
from runner.observers.observers import Observers
from runner.problem import Failed, Interrupted
from runner.results.manifest import RunRecord
from runner.session import Session
from runner.state import NonFiniteLoss, State
from runner.update import Update

CONSTANT = {"_target_": "runner.optim.schedulers.constant"}


def found(cfg: DictConfig, record: RunRecord, *, device: torch.device) -> dict[str, float]:
    """The values by dotted key of what the run leaves to be found. One that goes on has them on record.

    Raises ``Failed`` when there is none, and as ``search`` does.
    """
    if not build.finds_rate(cfg):
        return {}
    known = "found" in record.manifest
    if not known:
        curve = search(cfg, device=device)
        curve.write_csv(record.folder / "find_lr.csv")
        try:
            record.manifest["found"] = {build.RATE: curve.suggestion()}
        except NotFound as error:
            raise Failed(f"{build.RATE}=find: {error}; set {build.RATE}=<a number>") from error
        record.save()
    values = {str(key): float(value) for key, value in record.manifest["found"].items()}
    print(*(f"{key}={value:g}, as found {'before' if known else 'now'}" for key, value in values.items()), sep="\n")
    return values


def search(cfg: DictConfig, *, device: torch.device, ramp: Ramp | None = None) -> Curve:
    """The range test of what ``cfg`` describes, from the weights and with the batches of its own first steps.

    Schedules are left out, and networks not compiled for it. Nothing is written, and what was built is let go: the run
    itself is built anew.
    Raises ``ValueError`` where ``range_test`` does, and ``Interrupted`` when it was asked to stop.
    """
    ramp = ramp or Ramp()
    swept = build.with_values(cfg, {"scheduler": CONSTANT, "momentum": None, build.RATE: ramp.from_lr})
    made = compose(swept, device=device, state=State())
    try:
        first_weights(cfg, made)
        with stops_on_signals(made.session.state):
            curve = range_test(made.session, ramp)
        if made.session.state.stop:
            raise Interrupted(made.session.state.stop)
        return curve
    finally:
        del made
        free(device)


def free(device: torch.device) -> None:
    """Give back what a session has let go of: hooks tie one to itself."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def range_test(session: Session, ramp: Ramp) -> Curve:
    """Train ``session``, whose optimizer was made with ``ramp.from_lr`` and a constant schedule, a step at each rate.

    It ends when the loss diverges. Parameters that have a rate of their own keep it.
    Raises ``ValueError`` for a task of several networks, and when no parameter follows the optimizer's rate.
    """
    if len(session.updates) != 1:
        names = ", ".join(session.updates)
        raise ValueError(f"a learning rate is found for one network, got {names}; set the rate of each by hand")
    (update,) = session.updates.values()
    curve, never = Curve(ramp), ramp.steps + 1
    plan = replace(session.plan, total_steps=never, evaluate_every_steps=never, save_every_steps=never)
    test = replace(session, plan=plan.until(ramp.steps), checkpoints=NoCheckpoints())
    test.observers = _Conductor(test, update, curve)
    try:
        test.train()
    except NonFiniteLoss as error:
        curve.end(f"the loss became {error.value}")
    return curve


class _Conductor(Observers):
    """Takes the loss of each step, raises the rate for the next one, and ends the test: no observer of a run may."""

    def __init__(self, session: Session, update: Update, curve: Curve) -> None:
        super().__init__((), session.plan)
        self.session, self.label, self.curve = session, update.label, curve
        self.groups = [group for group in update.optimizer.param_groups if group.get("lr") == curve.ramp.from_lr]
        if not self.groups:
            raise ValueError(f"no parameter follows {build.RATE}: set the rates of optimizer.groups by hand")

    def stepped(self, step: int, losses: Mapping[str, Tensor], *, samples: int) -> None:  # noqa: ARG002
        self.session.state.ended = self.curve.add(float(losses[self.label]))  # host sync
        for group in self.groups:
            group["lr"] = self.curve.ramp.rate(step)
