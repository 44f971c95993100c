"""What the runner owns of a configuration. Values stand in ``conf/``; types and meanings stand here. Free of torch.

Each field's ``doc`` is what ``docs/config.md`` says of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

CHOICES = {
    "precision": ("auto", "fp32", "bf16", "fp16"),
    "compile": ("off", "default", "reduce-overhead", "max-autotune"),
    "resident": ("auto", "device", "host", "never"),
}
RENAMED = {"resident": {"always": "device"}}  # choices by the name that they had before


def described(doc: str, default: Any = MISSING) -> Any:
    return field(default=default, metadata={"doc": doc})


def chosen(doc: str) -> Any:
    return field(default_factory=dict, metadata={"doc": doc})


@dataclass
class TrainerConfig:
    """How a run is trained: ``trainer.*``."""

    epochs: float | None = described("Budget in passes over the training part. Not used when steps is given.")
    steps: int | None = described("Budget in optimizer updates, instead of epochs.")
    batch_size: int = described("Samples in one optimizer update, over all micro-batches.")
    micro_batches: int = described(
        "Gradient accumulation: parts in which a batch is computed, to fit memory. The update stays the same."
    )
    eval_batch_size: int = described("Samples in one evaluation batch.")
    evaluate_every_epochs: float | None = described("Evaluation cadence. Not used when evaluate_every_steps is given.")
    evaluate_every_steps: int | None = described("Evaluation cadence in steps. The last step is always evaluated.")
    save_every_epochs: float | None = described("Checkpoint cadence. Not used when save_every_steps is given.")
    save_every_steps: int | None = described("Checkpoint cadence in steps. The last step is always saved.")
    save_every_s: float | None = described(
        "Seconds after which a checkpoint is due, besides the cadence; null leaves it to the cadence."
    )
    log_every_steps: int = described("Steps between two logged training losses; each costs one transfer to the host.")
    best: dict[str, str] = described(
        "Validation metrics that choose a checkpoint best_<metric>.pt, each with its direction: {accuracy: max}."
    )
    keep_best: int = described(
        "How many of the best evaluations by each of these metrics keep their weights. The best is best_<metric>.pt; "
        "the next lie beside it as best_<metric>.step_<step>.pt.",
        1,
    )
    device: str = described("auto (the first GPU, else the CPU), cpu, cuda, cuda:1, mps.")
    precision: str = described("auto (bf16 on a GPU that has it, else fp16 there; fp32 on the CPU), fp32, bf16, fp16.")
    clip_norm: float | None = described("Limit of the gradients' total norm, for each optimizer.")
    clip_value: float | None = described("Limit of each gradient value.")
    ema_decay: float | None = described(
        "Evaluate, and keep as the best, exponential moving averages of the weights with this decay a step, 0.999 say.",
        None,
    )
    tf32: bool = described("Allow TensorFloat-32 in fp32 matrix products and convolutions on NVIDIA GPUs.")
    channels_last: bool = described(
        "Store images and kernels with channels innermost; faster convolutions on GPUs and, in bf16, on CPUs."
    )
    compile: str = described(
        "torch.compile mode of each network: off, default, reduce-overhead (CUDA graphs), max-autotune."
    )
    deterministic: bool = described(
        "Use only operations that repeat to the bit, and refuse others. CPU runs repeat without it."
    )
    resident: str = described(
        "Where the data are kept: device, host (batches are copied while the device computes), never (streamed by "
        "workers); auto takes the first of these that has the room. The place changes no result."
    )
    workers: int = described("Processes that read streamed data; 0 reads in the training process.")
    nproc: int = described(
        "Processes on this machine that train one run together, one on each GPU. Under torchrun 1: it starts them.",
        1,
    )
    sync_batchnorm: bool = described(
        "Batch norm over the whole batch instead of each process's share of it; with several processes on GPUs.",
        False,
    )
    threads: int | None = described("CPU threads of torch; null leaves torch's choice. The number changes the bits.")


@dataclass
class DebugConfig:
    """Shortcuts for finding faults: ``debug.*``, set by ``debug=<option>``."""

    samples: int | None = described("Only the first so many samples of each part.", None)
    steps: int | None = described("Stop after so many steps; schedules keep the whole budget in mind.", None)
    train_only: bool = described(
        "Validate and test on the training samples, not augmented: overfitting is the aim.", False
    )
    determinism: bool = described(
        "Instead of training, take a few steps twice, with fast and with deterministic algorithms, and compare.", False
    )


@dataclass
class Config:
    """A whole run. The groups are anything with a ``_target_``."""

    seed: int = described("Every random draw of the run is a function of it.")
    task: Any = described("What is minimised and scored.")
    dataset: Any = described("The data, its split and its normalisation.")
    augmentation: Any = described("Random changes to training images.")
    model: Any = described("The network, or the networks of a GAN.")
    loss: Any = described("What the task minimises.")
    optimizer: Any = described(
        "How weights follow gradients; one for each network. With optimizer.lr=find a run looks for its rate first."
    )
    scheduler: Any = described("How the learning rate moves.")
    momentum: Any = described("How momentum moves; null leaves it to the optimizer, or to the scheduler.", None)
    metrics: dict[str, Any] = chosen("What an evaluation measures besides the loss: any number of options.")
    stopping: dict[str, Any] = chosen("Rules that end training before its budget is used: any number of options.")
    trainer: TrainerConfig = described("The training loop's settings.")
    logger: dict[str, Any] = chosen("Who looks on: any number of options.")
    trajectory: Any = described("Which weights are recorded along training, and when; null records none.", None)
    debug: DebugConfig = described("Shortcuts for finding faults.")
    freeze: Any = described(
        "Parameters that stay as they are, by globs over their names, with or without the network's: the epoch at "
        "which they thaw, or null for never. {features.*: 3}",
        None,
    )
    init_from: str | None = described("A file of weights, or a run's folder, to start from instead of random weights.")
    init_prefix: str | None = described("Of the file take only the names that begin with this, and take it off them.")
    init_pattern: str | None = described(
        "Load only weights whose names match this glob, or with - before it all but those; the others start at random."
    )


GROUPS = (
    "task",
    "dataset",
    "augmentation",
    "model",
    "loss",
    "optimizer",
    "scheduler",
    "momentum",
    "metrics",
    "stopping",
    "trainer",
    "logger",
    "trajectory",
)
EXTRA_GROUPS = ("experiment", "debug", "layout")  # options that set values of the others, and of Hydra


def register() -> None:
    """Make the schema known to Hydra as the first entry of the defaults list."""
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(name="schema", node=Config)
