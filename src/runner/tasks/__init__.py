"""Tasks: what is minimised and what is scored. Any of these files can be copied out and used alone."""

from runner.tasks.classification import Classification
from runner.tasks.gan import GAN
from runner.tasks.reconstruction import Reconstruction
from runner.tasks.task import Task

__all__ = ["GAN", "Classification", "Reconstruction", "Task"]
