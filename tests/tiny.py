"""Tiny real tasks on tiny real data, for tests of what happens around them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import finder
import torch
from torch import Tensor, nn

from runner import models
from runner.checkpoint import FolderCheckpoints
from runner.data.augment import Augmentation, CropFlip, NoAugmentation
from runner.data.data import Data
from runner.data.source import IGNORED, Arrays, MaskSpec, PairSpec, Spec, Splits
from runner.data.sources import Sequences
from runner.losses import BinaryCrossEntropy, CrossEntropy, Dice, LeastSquares, Vanilla, WeightedSum
from runner.metrics import Metrics
from runner.models import CAE, AttentionSeq2Seq
from runner.observers.observer import Observer, RunInfo
from runner.optim import Freezing, Scheduler, schedulers
from runner.plan import Plan
from runner.precision import Precision
from runner.randomness import Randomness
from runner.ranks import Alone, Ranked
from runner.session import Session, assemble, make_updates
from runner.state import State
from runner.stopping import Rules, Stopping
from runner.tasks import (
    AAE,
    GAN,
    VAE,
    Classification,
    CycleGAN,
    Novelty,
    Pix2pix,
    Reconstruction,
    Segmentation,
    Seq2Seq,
    Task,
)

SAMPLES, CLASSES, PIXELS = 22, 3, 6
CPU = torch.device("cpu")
SEQUENCES = Sequences(transform="sort", symbols=4, max_length=4, train_size=SAMPLES, valid_size=7, test_size=7)


class Pair(nn.Module):
    """The smallest adversaries."""

    latent_dim = 4

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, PIXELS**2), nn.Unflatten(1, (1, PIXELS, PIXELS))
        )
        self.discriminator = nn.Sequential(
            nn.Flatten(), nn.Linear(PIXELS**2, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 1), nn.Flatten(0)
        )


def splits(seed: int = 0) -> Splits:
    """Random images with labels that depend on them."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (SAMPLES, 1, PIXELS, PIXELS), generator=generator, dtype=torch.uint8)
    labels = (images.float().mean((1, 2, 3)).argsort().argsort() * CLASSES // SAMPLES).long()
    part = Arrays(images, labels)
    few = Arrays(images[:7], labels[:7])
    return Splits(train=part, valid=few, test=few, spec=Spec(1, PIXELS, PIXELS, CLASSES), mean=[0.5], std=[0.25])


def several(order: str = "alternated") -> Splits:
    """The same samples as two sets, in batches of 5: three batches of one and two of the other, the last ones short."""
    sets = {"train": {"near": 13, "far": 9}, "valid": {"near": 4, "far": 3}, "test": {"far": 7}}
    return replace(splits(), sets=sets, order=order)


def pairs() -> Splits:
    """Two random images of one channel each, the second one behind the first."""
    shape = (SAMPLES, 2, PIXELS, PIXELS)
    whole = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    spec = PairSpec(in_channels=1, out_channels=1, height=PIXELS, width=PIXELS)
    few = Arrays(whole[:7])
    return Splits(train=Arrays(whole), valid=few, test=few, spec=spec, mean=spec.mean, std=spec.std)


def masks() -> Splits:
    """The images of ``splits`` with the brightness of each pixel as its class; some pixels do not count."""
    whole = splits()
    images = torch.stack([image for image, _ in map(whole.train.__getitem__, range(SAMPLES))])
    classes = (images[:, 0].int() * CLASSES // 256).byte()
    classes[:, 0, :2] = IGNORED
    spec = MaskSpec(channels=1, image_size=(PIXELS, PIXELS), num_classes=CLASSES, ignore_index=-100)
    few = Arrays(images[:7], classes[:7])
    return replace(whole, train=Arrays(images, classes), valid=few, test=few, spec=spec)


def splits_of(kind: str) -> Splits:
    """Data for the task ``kind``."""
    if kind == "segmentation":
        return masks()
    if kind == "detection":
        return finder.BOXES.load()
    if kind in TRANSLATIONS:
        return pairs()
    if kind != "seq2seq":
        return splits()
    return SEQUENCES.load()


class Translators(nn.Module):
    """The smallest networks between two kinds of images, for tasks with one generator and with two."""

    in_channels = out_channels = 1
    image_size = (PIXELS, PIXELS)

    def __init__(self) -> None:
        super().__init__()
        self.generators = nn.ModuleDict({"there": self._drawing(), "back": self._drawing()})
        self.discriminators = nn.ModuleDict({"input": self._judging(1), "target": self._judging(1)})
        self.generator, self.discriminator = self._drawing(), self._judging(2)

    def _drawing(self) -> nn.Module:
        size = PIXELS**2
        layers = [nn.Flatten(), nn.Linear(size, 4), nn.BatchNorm1d(4), nn.Dropout(0.2), nn.Linear(4, size), nn.Tanh()]
        return nn.Sequential(*layers, nn.Unflatten(1, (1, PIXELS, PIXELS)))

    def _judging(self, channels: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(channels * PIXELS**2, 4), nn.Dropout(0.2), nn.Linear(4, 2))


TRANSLATIONS: dict[str, Callable[[], Task]] = {
    "cyclegan": lambda: CycleGAN(Translators(), LeastSquares(), pool_size=6),
    "pix2pix": lambda: Pix2pix(Translators(), Vanilla()),
}
SMALL = {"in_channels": 1, "image_size": (PIXELS, PIXELS), "channels": [4], "norm": "batch"}
AUTOENCODERS: dict[str, Callable[[], Task]] = {
    "aae": lambda: AAE(
        models.AAE(**SMALL, num_classes=CLASSES, latent_dim=2, hidden=[6], categorical=True),  # type: ignore[arg-type]
        nn.MSELoss(),
        pictures_count=8,
    ),
    "novelty": lambda: Novelty(
        CAE(**SMALL, latent_dim=3),  # type: ignore[arg-type]
        nn.L1Loss(),
        score="mahalanobis",
        novel_classes=[2],
    ),
    "vae": lambda: VAE(models.VAE(**SMALL, latent_dim=2), nn.MSELoss(), pictures_count=8),  # type: ignore[arg-type]
}


def task_of(kind: str, seed: int = 0) -> Task:
    """A task with batch norm, dropout or noise in it, so that everything that can go wrong may."""
    torch.manual_seed(seed)
    if kind == "classification":
        model = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(64, CLASSES)
        )
        return Classification(model, nn.CrossEntropyLoss())
    if kind == "reconstruction":
        size = PIXELS**2
        model = nn.Sequential(
            nn.Flatten(), nn.Linear(size, 8), nn.Dropout(0.2), nn.Linear(8, size), nn.Unflatten(1, (1, PIXELS, PIXELS))
        )
        return Reconstruction(model, nn.MSELoss())
    if kind == "segmentation":
        model = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Conv2d(4, CLASSES, 1)
        )
        return Segmentation(model, WeightedSum({"bce": BinaryCrossEntropy(), "dice": Dice()}), ignore_index=-100)
    if kind == "detection":
        return finder.task()
    if kind == "seq2seq":
        facts = SEQUENCES.spec.facts()
        sizes = {name: facts[name] for name in ("source_vocabulary_size", "target_vocabulary_size")}
        translator = AttentionSeq2Seq(**sizes, embedding_dim=4, hidden_dim=6, dropout=0.2)
        return Seq2Seq(translator, CrossEntropy(ignore_index=0), teacher_forcing=0.5)
    if kind in AUTOENCODERS or kind in TRANSLATIONS:
        return (AUTOENCODERS | TRANSLATIONS)[kind]()
    assert kind == "gan"
    return GAN(Pair(), BinaryCrossEntropy())


SCHEDULES: dict[str, Callable[..., Scheduler]] = {
    "constant": schedulers.constant,
    "cosine": partial(schedulers.cosine, warmup_steps=2),
    "cyclic": partial(schedulers.cyclic, rise_steps=3, mode="triangular2"),
    "exponential": partial(schedulers.exponential, gamma=0.5),
    "linear": partial(schedulers.linear, interval="evaluation"),
    "multistep": partial(schedulers.multistep, milestones_steps=[3, 9], gamma=0.5),
    "one_cycle": schedulers.one_cycle,
    "plateau": partial(schedulers.plateau, factor=0.5, patience_evaluations=0),
    "step": partial(schedulers.step, every_steps=4, gamma=0.5),
    "warm_restarts": partial(schedulers.warm_restarts, first_cycle_steps=3),
}
UNMOVED = ("detection", "seq2seq")  # tasks whose data no augmentation may change
TASKS = (
    "aae",
    "classification",
    "cyclegan",
    "detection",
    "gan",
    "novelty",
    "pix2pix",
    "reconstruction",
    "segmentation",
    "seq2seq",
    "vae",
)


def monitor_of(kind: str) -> str:
    """The validation score that a plateau schedule or an early stop of the task ``kind`` follows."""
    own = {"cyclegan": "cycle_l1", "gan": "generator_loss", "pix2pix": "l1"}
    return f"valid/{own.get(kind, 'loss')}"


def schedule_of(name: str, optimizer: torch.optim.Optimizer, *, plan: Plan, monitor: str) -> Scheduler:
    follows = {"monitor": monitor} if name == "plateau" else {}
    return SCHEDULES[name](optimizer, plan=plan, **follows)


def session(
    kind: str = "classification",
    *,
    folder: Path | None = None,
    precision: str = "fp32",
    schedule: str = "cosine",
    batch_size: int = 5,
    micro_batches: int = 1,
    steps: int = 14,
    observers: Sequence[Observer] = (),
    best: Mapping[str, str] | None = None,
    keep_best: int = 1,
    seed: int = 0,
    task: Task | None = None,
    augmentation: Augmentation | None = None,
    stopping: Mapping[str, Stopping] | None = None,
    save_every_s: float | None = None,
    ranks: Ranked | None = None,
    metrics: Metrics | None = None,
    parts: Splits | None = None,
    ema_decay: float | None = None,
    freeze: Mapping[str, float | None] | None = None,
) -> Session:
    """A training that is ready to start, or to go on where ``folder`` left it."""
    task, ranks = task or task_of(kind), ranks or Alone()
    randomness = Randomness(seed)
    parts = parts or splits_of(kind)
    data = Data(
        parts,
        device=CPU,
        batch_size=batch_size,
        eval_batch_size=4,
        augmentation=augmentation or (NoAugmentation() if kind in UNMOVED else CropFlip(padding=1)),
        randomness=randomness,
        ranks=ranks,
    )
    ranks.join(task.networks().values(), samples_at=data.samples_at, look_every_steps=1)
    plan = Plan.of(data.steps_per_epoch, steps=steps, evaluate_every_epochs=1, save_every_steps=3, log_every_steps=2)
    amp = Precision(precision, device=CPU, micro_batches=micro_batches)
    optimizers = {name: torch.optim.AdamW(network.parameters(), lr=0.01) for name, network in task.networks().items()}
    updates = make_updates(
        task,
        optimizers,
        schedule=lambda optimizer: schedule_of(schedule, optimizer, plan=plan, monitor=monitor_of(kind)),
        precision=amp,
        clip_norm=1.0,
        ranks=ranks,
    )
    directions = {f"valid/{name}": which for name, which in (best or {}).items()}
    state = State(directions, keep_best)  # type: ignore[arg-type]
    made = assemble(
        task,
        data,
        updates=updates,
        plan=plan,
        state=state,
        precision=amp,
        randomness=randomness.of_rank(ranks.rank),
        metrics=metrics or Metrics({}, ranks=ranks),
        observers=observers,
        checkpoints_folder=folder,
        stopping=Rules(stopping),
        save_every_s=save_every_s,
        ranks=ranks,
        sets=parts.sets,
        ema_decay=ema_decay,
        frozen=Freezing(task, freeze, plan=plan) if freeze else None,
    )
    ranks.hears(state)
    if isinstance(made.checkpoints, FolderCheckpoints):
        made.checkpoints.restore()
    sample = next(data.part("valid"))
    made.observers.started(RunInfo(kind, folder, task, plan, state.step, sample=sample, optimizers=optimizers))
    return made


def leaves(content: object, prefix: str = "") -> dict[str, Tensor | object]:
    """Whatever is nested in ``content``, by its path."""
    if isinstance(content, Mapping):
        items: Sequence[tuple[object, object]] = list(content.items())
    elif isinstance(content, (list, tuple)):
        items = list(enumerate(content))
    else:
        return {prefix: content}
    return {path: leaf for key, inner in items for path, leaf in leaves(inner, f"{prefix}/{key}").items()}


def memory_of(made: Session) -> dict[str, Tensor | object]:
    """Everything that a training remembers, leaf by leaf."""
    whole = {"task": made.task.state_dict(), "state": made.state.state_dict(), "stopping": made.stopping.state_dict()}
    return leaves(whole | {name: update.state_dict() for name, update in made.updates.items()})


def differing(left: Session, right: Session) -> list[str]:
    """The names of everything in which two trainings differ, to the bit."""
    return differing_leaves(memory_of(left), memory_of(right))


def differing_leaves(one: Mapping[str, object], other: Mapping[str, object]) -> list[str]:
    """The paths at which two contents differ, to the bit; tensors in their dtype and device, too."""

    def same(a: object, b: object) -> bool:
        if isinstance(a, Tensor) and isinstance(b, Tensor):
            return (a.dtype, a.device) == (b.dtype, b.device) and torch.equal(a, b)
        return type(a) is type(b) and a == b

    absent = object()
    return [name for name in {**one, **other} if not same(one.get(name, absent), other.get(name, absent))]
