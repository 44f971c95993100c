# python benchmarks/step.py
# python benchmarks/step.py --rounds 9 --steps 2000
"""A training step of ``mlp``, batch 64, one thread: a whole run of ours with its observers beside bare loops.

Ours is what the command runs: console, CSV, TensorBoard and pictures, a checkpoint at the end. All train the same
network with the same Adam on the same MNIST-shaped tensors in memory. The anchors get batches that are gathered and
normalised by hand, and log nothing, but for Lightning, which logs to CSV and TensorBoard as often as ours does. The
step of a second network, with one layer of 64, is so short that what is around it shows.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from tempfile import TemporaryDirectory
from typing import Any

import torch
from anchors.resident import Normalise, ResidentBatches
from ours import configured, took_s
from rounds import Comparison, Contender, Goal, compared, parser, report
from torch import nn

from runner.models import MLP

SAMPLES, BATCH_SIZE, MEAN, STD = 12_800, 64, [0.5], [0.25]
NETWORKS = {"mlp": (512, 256), "mlp, hidden=[64]": (64,)}
GOALS: dict[str, tuple[str | None, Goal | None]] = {  # by the package that an anchor needs
    "bare": (None, Goal("<=", 1.10)),
    "bare, fused": (None, None),  # with the implementation of Adam that ours takes by itself
    "ignite_loop": ("ignite", Goal("<=", 1.0)),
    "accelerate_loop": ("accelerate", Goal("<=", 1.0)),
    "lightning_loop": ("lightning", Goal("<=", 1.0)),
}


def ours(hidden: Sequence[int], *, steps: int, first: int, overrides: Sequence[str]) -> Callable[[], float]:
    """``first`` and ``steps`` are multiples of ten, the steps that are logged."""
    shape = ("dataset.channels=1", "dataset.height=28", "dataset.width=28", f"dataset.train_size={SAMPLES}")
    part = ("dataset.valid_size=64", "dataset.test_size=64", f"dataset.mean={MEAN}", f"dataset.std={STD}")
    same = ("model=mlp", f"model.hidden={list(hidden)}", "augmentation=none", "optimizer=adam", "scheduler=constant")
    often = {"steps": steps, "evaluate_every_steps": steps, "save_every_steps": steps, "log_every_steps": 10}
    cfg = configured(
        "dataset=synthetic", *shape, *part, *same, *overrides, batch_size=BATCH_SIZE, threads=1, device="cpu", **often
    )
    return lambda: took_s(cfg, first_step=first, last_step=steps) / (steps - first)


def anchor(name: str, hidden: Sequence[int], *, steps: int, first: int) -> Callable[[], float]:
    images = torch.randint(0, 256, (SAMPLES, 1, 28, 28), dtype=torch.uint8)
    labels = torch.randint(10, (SAMPLES,))

    def seconds() -> float:
        model = MLP(in_channels=1, image_size=(28, 28), num_classes=10, hidden=hidden)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused="fused" in name or None)
        batches = ResidentBatches(
            images, labels, batch_size=BATCH_SIZE, steps=steps, first=first, prepare=Normalise(MEAN, STD)
        )
        with TemporaryDirectory() as folder:
            more: dict[str, Any] = {"folder": folder} if name == "lightning_loop" else {}
            import_module(f"anchors.{name.partition(',')[0]}").train(
                model, optimizer, nn.CrossEntropyLoss(), batches, **more
            )
        return batches.step_s

    return seconds


def network(what: str, hidden: Sequence[int], args: argparse.Namespace) -> list[Comparison]:
    times = {"steps": args.steps, "first": args.first}
    anchors = [
        Contender(name.removesuffix("_loop"), anchor(name, hidden, **times), goal, needs)
        for name, (needs, goal) in GOALS.items()
    ]
    mine = Contender("ours", ours(hidden, **times, overrides=args.overrides))
    return compared(f"step of {what}", mine, anchors, rounds=args.rounds, warmup=args.warmup, seed=args.seed)


def main(argv: Sequence[str] | None = None) -> int:
    options = parser(__doc__, rounds=5, warmup=1)
    options.add_argument("--steps", type=int, default=600, help="of a round, a multiple of 10")
    options.add_argument("--first", type=int, default=100, help="steps of a round that do not count, likewise")
    options.add_argument("overrides", nargs="*", help="of our run: logger=[]")
    args = options.parse_args(argv)
    torch.set_num_threads(1)
    return report([found for what, hidden in NETWORKS.items() for found in network(what, hidden, args)], args)


if __name__ == "__main__":
    sys.exit(main())
