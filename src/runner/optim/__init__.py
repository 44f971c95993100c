"""Optimizers, parameter groups and learning-rate schedules."""

from runner.optim.ending import ending
from runner.optim.groups import build_optimizer, parameter_groups
from runner.optim.muon import Muon
from runner.optim.schedule import Constant, Schedule, Scheduler, wrap

__all__ = ["Constant", "Muon", "Schedule", "Scheduler", "build_optimizer", "ending", "parameter_groups", "wrap"]
