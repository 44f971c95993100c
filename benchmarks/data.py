# python benchmarks/data.py
# python benchmarks/data.py --images 50000 --workers 4
"""Augmented images a second, crop and flip: ours on whole tensors in memory beside PIL through a DataLoader.

Ours are the batches that a run trains on, gathered, augmented and normalised. PIL's are torchvision's usual transforms,
with workers that are up and warm before the clock starts. A round is one epoch of each; times are of an image.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from itertools import islice

import torch
from anchors import pil
from rounds import Comparison, Contender, Goal, compared, parser, report

from runner.data.augment import CropFlip
from runner.data.data import Data
from runner.data.source import Arrays, Spec, Splits
from runner.randomness import Randomness

SHAPES = {"CIFAR-shaped": (3, 32, 20.0), "MNIST-shaped": (1, 28, 50.0)}  # channels, pixels, goal
PADDING, MEAN, STD = 4, 0.5, 0.25


def ours(images: torch.Tensor, labels: torch.Tensor, *, batch_size: int) -> Callable[[], float]:
    channels, size = images.shape[1], images.shape[2]
    part, few = Arrays(images, labels), Arrays(images[:1], labels[:1])
    spec = Spec(channels, size, size, 10)
    splits = Splits(train=part, valid=few, test=few, spec=spec, mean=[MEAN] * channels, std=[STD] * channels)
    data = Data(
        splits,
        device=torch.device("cpu"),
        batch_size=batch_size,
        augmentation=CropFlip(padding=PADDING),
        randomness=Randomness(0),
        resident="device",
    )
    next(data.train())

    def seconds() -> float:
        started_s = time.perf_counter()
        count = sum(len(batch[0]) for batch in islice(data.train(), data.steps_per_epoch))
        return (time.perf_counter() - started_s) / count

    return seconds


def through_pil(images: torch.Tensor, labels: torch.Tensor, *, batch_size: int, workers: int) -> Callable[[], float]:
    channels = images.shape[1]
    arrays = images.permute(0, 2, 3, 1).contiguous() if channels == 3 else images[:, 0]
    batches = pil.loader(
        arrays.numpy(),
        labels.numpy(),
        mean=[MEAN] * channels,
        std=[STD] * channels,
        padding=PADDING,
        batch_size=batch_size,
        workers=workers,
    )

    def seconds() -> float:
        iterator = iter(batches)
        first = len(next(iterator)[1])  # the workers are there, and have begun
        started_s = time.perf_counter()
        count = sum(len(labels) for _, labels in iterator)
        return (time.perf_counter() - started_s) / (count or first)

    return seconds


def shape(name: str, *, images: int, batch_size: int, workers: int, rounds: int, warmup: int, seed: int) -> Comparison:
    channels, size, limit = SHAPES[name]
    pixels = torch.randint(0, 256, (images, channels, size, size), dtype=torch.uint8)
    labels = torch.randint(10, (images,))
    theirs = through_pil(pixels, labels, batch_size=batch_size, workers=workers)
    (found,) = compared(
        f"an augmented image, {name}",
        Contender("ours", ours(pixels, labels, batch_size=batch_size)),
        [Contender(f"PIL, DataLoader, {workers} workers", theirs, Goal(">=", limit))],
        rounds=rounds,
        warmup=warmup,
        seed=seed,
    )
    return found


def main(argv: Sequence[str] | None = None) -> int:
    options = parser(__doc__, rounds=5, warmup=1)
    options.add_argument("--images", type=int, default=20_000, help="of an epoch")
    options.add_argument("--batch-size", type=int, default=128)
    options.add_argument("--workers", type=int, default=2, help="of the DataLoader")
    args = options.parse_args(argv)
    settings = {key: value for key, value in vars(args).items() if key != "markdown"}
    return report([shape(name, **settings) for name in SHAPES], args)


if __name__ == "__main__":
    sys.exit(main())
