"""Optimizers, parameter groups and learning-rate schedules."""

from runner.optim.ending import ending
from runner.optim.freezing import Freezing, Frozen, NothingFrozen, thaw_epochs
from runner.optim.groups import build_optimizer, parameter_groups
from runner.optim.momentum import with_momentum
from runner.optim.muon import Muon
from runner.optim.schedule import Constant, Schedule, Scheduler, wrap

__all__ = [
    "Constant",
    "Freezing",
    "Frozen",
    "Muon",
    "NothingFrozen",
    "Schedule",
    "Scheduler",
    "build_optimizer",
    "ending",
    "parameter_groups",
    "thaw_epochs",
    "with_momentum",
    "wrap",
]
