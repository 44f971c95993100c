# python benchmarks/epoch.py
# python benchmarks/epoch.py --only resnet18 --samples 2048 --precision bf16 --channels-last
"""An epoch: ``mlp`` on MNIST as whole processes, and convolutional networks in this process beside Lightning.

The processes train for one epoch of batches of 64, validate, test and write a checkpoint. In this process both train
two epochs with crop and flip and the same SGD, precision and layout; the second epoch counts, without validation.
Lightning reads through torchvision's transforms and workers that stay, and shows no progress bar.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import mnist
import torch
from anchors import pil
from ours import configured, took_s
from processes import ANCHORS, settings, wall_s
from rounds import Comparison, Contender, Goal, compared, parser, report
from torch import nn

from runner.models import VGG, LeNet, ResNet

NETWORKS = {  # network, channels, pixels, goal, default samples of an epoch
    "lenet": (LeNet, 1, 28, 1.5, 12_800),
    "resnet18": (ResNet, 3, 32, 1.2, 256),
    "vgg16": (VGG, 3, 32, 1.0, 256),
}
PADDING, MEAN, STD = 4, 0.5, 0.25
PROCESSES = "mlp"


def networks_own(name: str) -> dict[str, object]:
    """What ``conf/model`` says of the network."""
    return dict(configured(f"model={name}").model)


def processes(root: Path, folder: Path, *, workers: int) -> list[Contender]:
    """Ours first."""
    numbers = itertools.count()

    def process(*arguments: str) -> float:
        return wall_s(*arguments, f"hydra.run.dir={folder / str(next(numbers))}", cwd=folder)

    def ours() -> float:
        chosen = ("model=mlp", "dataset=mnist", "augmentation=none", "scheduler=constant")
        data = (f"dataset.root={root}", "dataset.download=false")
        return process("-m", "runner", *chosen, *data, "trainer.epochs=1", "trainer.batch_size=64")

    def conventional() -> float:
        return process(str(ANCHORS / "conventional.py"), *settings(data_dir=root, workers=workers))

    def lightning() -> float:
        values = settings(**{"data.data_dir": root, "data.num_workers": workers})
        return process(str(ANCHORS / "lightning_template.py"), *values)

    return [
        Contender("ours", ours),
        Contender("Hydra + torchvision + DataLoader", conventional, Goal(">=", 4)),
        Contender("Lightning + Hydra + TensorBoard", lightning, Goal(">=", 5), needs="lightning"),
    ]


def ours(name: str, *, samples: int, args: argparse.Namespace) -> Callable[[], float]:
    """Seconds of the second epoch of a run."""
    _, channels, pixels, *_ = NETWORKS[name]
    size = (f"dataset.channels={channels}", f"dataset.height={pixels}", f"dataset.width={pixels}")
    parts = (f"dataset.train_size={samples}", "dataset.valid_size=8", "dataset.test_size=8")
    statistics = (f"dataset.mean={[MEAN] * channels}", f"dataset.std={[STD] * channels}")
    same = (f"model={name}", "augmentation=crop_flip", f"augmentation.padding={PADDING}", "scheduler=constant")
    steps = samples // args.batch_size
    cfg = configured(
        *("dataset=synthetic", *size, *parts, *statistics, *same, "optimizer=sgd"),
        epochs=2,
        evaluate_every_epochs=2,
        save_every_epochs=2,
        log_every_steps=10 if steps % 10 == 0 else steps,
        batch_size=args.batch_size,
        precision=args.precision,
        channels_last=args.channels_last,
        device="cpu",
    )
    return lambda: took_s(cfg, first_step=steps, last_step=2 * steps)


def lightning(name: str, *, samples: int, args: argparse.Namespace) -> Callable[[], float]:
    """Seconds of the second epoch."""
    kind, channels, pixels, *_ = NETWORKS[name]
    shape = (samples, pixels, pixels, 3) if channels == 3 else (samples, pixels, pixels)
    images, labels = torch.randint(0, 256, shape, dtype=torch.uint8).numpy(), torch.randint(10, (samples,)).numpy()
    own = {key: value for key, value in networks_own(name).items() if key != "_target_"}
    sgd = {key: value for key, value in configured("optimizer=sgd").optimizer.items() if key in ("lr", "weight_decay")}

    def seconds() -> float:
        from anchors import lightning_loop

        model = kind(in_channels=channels, image_size=(pixels, pixels), num_classes=10, **own)
        optimizer = torch.optim.SGD(model.parameters(), momentum=0.9, nesterov=True, **sgd)
        with TemporaryDirectory() as folder:
            return lightning_loop.train(
                model,
                optimizer,
                nn.CrossEntropyLoss(),
                pil.loader(
                    images,
                    labels,
                    mean=[MEAN] * channels,
                    std=[STD] * channels,
                    padding=PADDING,
                    batch_size=args.batch_size,
                    workers=args.workers,
                ),
                folder=folder,
                epochs=2,
                precision={"fp32": "32-true", "bf16": "bf16-mixed"}[args.precision],
                memory_format=torch.channels_last if args.channels_last else torch.contiguous_format,
            )

    return seconds


def network(name: str, args: argparse.Namespace) -> list[Comparison]:
    *_, limit, usual = NETWORKS[name]
    samples = args.samples or usual
    samples -= samples % args.batch_size
    layout = ", channels_last" if args.channels_last else ""
    return compared(
        f"epoch of {name}, {samples} samples, {args.precision}{layout}",
        Contender("ours", ours(name, samples=samples, args=args)),
        [
            Contender(
                f"Lightning, {args.workers} workers",
                lightning(name, samples=samples, args=args),
                Goal(">=", limit),
                needs="lightning",
            )
        ],
        rounds=args.rounds,
        warmup=0,  # the first epoch of each is one
        seed=args.seed,
    )


def whole(args: argparse.Namespace) -> list[Comparison]:
    with TemporaryDirectory() as made:
        root, what = mnist.unpacked(args.root, Path(made) / "data", train_size=args.train_size)
        mine, *anchors = processes(root, Path(made), workers=args.workers)
        return compared(
            f"process, one epoch of mlp, {what}",
            mine,
            anchors,
            rounds=args.rounds,
            warmup=args.warmup,
            seed=args.seed,
        )


def main(argv: Sequence[str] | None = None) -> int:
    options = parser(__doc__, rounds=3, warmup=1)
    options.add_argument("--only", nargs="+", choices=[PROCESSES, *NETWORKS], default=[PROCESSES, *NETWORKS])
    options.add_argument("--root", type=Path, default=Path("data"), help="folder with MNIST/raw; random images if not")
    options.add_argument("--train-size", type=int, help="so many random images instead")
    options.add_argument("--samples", type=int, help="of an epoch of a convolutional network")
    options.add_argument("--batch-size", type=int, default=64, help="of a convolutional network")
    options.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    options.add_argument("--channels-last", action="store_true")
    options.add_argument("--workers", type=int, default=2, help="of the anchors' DataLoaders")
    args = options.parse_args(argv)
    found: list[Comparison] = []
    for name in args.only:
        found += whole(args) if name == PROCESSES else network(name, args)
    return report(found, args)


if __name__ == "__main__":
    sys.exit(main())
