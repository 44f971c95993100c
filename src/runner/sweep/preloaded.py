"""What the fork server of a sweep imports, so that no job has to. CUDA is not started, nor is a thread of ours.

Importing it is all that it is for. It is imported last: what is loaded by then is the code of all jobs.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from runner.results import provenance

NAMES = (
    *("torch.utils.tensorboard", "torch.utils.flop_counter", "torch.utils.serialization"),
    *("tensorboard.plugins.hparams.metadata", "torch.nn.attention", "runner.run", "runner.preflight.folder"),
)
WHOLE = ("models", "data", "observers", "optim", "losses", "metrics", "tasks")  # packages of ours
UPON = {
    "runner.metrics.detection": "torchmetrics",
    "runner.metrics.ranking": "torchmetrics",
}  # seconds

for name in NAMES:
    importlib.import_module(name)
for package in WHOLE:
    path = importlib.import_module(f"runner.{package}").__path__
    for module in pkgutil.walk_packages(path, f"runner.{package}."):
        if UPON.get(module.name, "torch") in sys.modules:
            importlib.import_module(module.name)

provenance.environment()
with TemporaryDirectory() as folder:  # what the code is now, when it is loaded: a file may be edited before a later job
    provenance.code(Path(folder))
