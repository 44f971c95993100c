"""What the loop tells those who look.

Observers may look but not touch: a run is the same, to the bit, without them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from runner.batch import Batch
    from runner.plan import Plan
    from runner.tasks.task import Task


@dataclass(frozen=True)
class RunInfo:
    """What is known when training starts. ``folder`` is None when nothing is to be written: stand-alone use."""

    name: str
    folder: Path | None
    task: Task
    plan: Plan
    first_step: int  # 0, or the step at which a resumed run goes on
    config_text: str = ""  # the resolved configuration as YAML
    hparams: Mapping[str, Any] = field(default_factory=dict)  # the configuration, flat: {"optimizer.lr": 0.1}
    sample: Batch | None = None  # a fixed validation batch, prepared for the model, on the device
    mean: Sequence[float] = ()  # per channel: a picture's pixels in [0, 1] are value * std + mean
    std: Sequence[float] = ()
    class_names: Sequence[str] = ()
    optimizers: Mapping[str, Optimizer] = field(default_factory=dict)  # of each network, to look at
    best: Mapping[str, float] = field(default_factory=dict)  # the best values up to first_step
    drawn: dict[tuple[int, int], Mapping[str, Tensor]] = field(default_factory=dict)  # see ``Pictures``


@dataclass(frozen=True)
class StepRecord:
    """One logged training step. Losses are those of this step; times are since the last record."""

    step: int  # completed updates
    epoch: float  # completed passes, with its fraction
    losses: Mapping[str, float]  # {"train/loss": …}, or one for each network
    learning_rates: Mapping[str, float]  # {"lr": …}, or {"lr/generator": …}
    samples_per_s: float | None  # without the steps of warmup_s; None when there were no others
    elapsed_s: float  # since training (or its resumption) began
    memory_gib: float | None = None  # peak of the device's memory; None on the CPU
    warmup_s: float = 0.0  # spent in the first two steps of a batch size: compiling, picking kernels
    momenta: Mapping[str, float] = field(default_factory=dict)  # {"momentum": …} like the rates, if it moves

    def scalars(self) -> dict[str, float]:
        """What was measured, under names apart from the evaluations' means of the same losses: ``train/loss_step``."""
        losses = {f"{name}_step": value for name, value in self.losses.items()}
        measured = {"samples_per_s": self.samples_per_s, "memory_gib": self.memory_gib}
        speed = {name: value for name, value in measured.items() if value is not None}
        return {**losses, **self.learning_rates, **self.momenta, **speed}


@dataclass(frozen=True)
class EvaluationRecord:
    """One evaluation. ``metrics`` holds the means of the training losses since the last one, too."""

    step: int
    epoch: float
    metrics: Mapping[str, float]  # {"train/loss": …, "valid/loss": …, "valid/accuracy": …}
    best: Mapping[str, float]  # best value so far, by the metrics that choose checkpoints
    learning_rates: Mapping[str, float]
    samples_per_s: float | None
    elapsed_s: float
    memory_gib: float | None = None
    warmup_s: float = 0.0
    momenta: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How training ended. ``state`` is one of completed, interrupted, failed."""

    state: str
    step: int
    metrics: Mapping[str, float]  # the final scores: {"test/accuracy": …}; empty unless completed
    reason: str = ""
    tables: Mapping[str, Tensor] = field(default_factory=dict)  # {"test/confusion_matrix": (K, K)}, like the metrics


class Observer(Protocol):
    """Looks on. ``logged`` comes every ``trainer.log_every_steps`` steps, ``finished`` on failure too."""

    def started(self, run: RunInfo) -> None: ...

    def logged(self, record: StepRecord) -> None: ...

    def evaluated(self, record: EvaluationRecord) -> None: ...

    def finished(self, outcome: Outcome) -> None: ...


@runtime_checkable
class StepObserver(Protocol):
    """An observer that looks at the weights themselves: it is told of each step, before losses are looked at.

    ``settled`` comes before each checkpoint: what it has seen must be on the disk when that is.
    """

    def stepped(self, step: int) -> None: ...

    def settled(self) -> None: ...
