# python benchmarks/allocator.py                a convolutional network and resnet18_small, 10 rounds
# python benchmarks/allocator.py --rounds 5 --steps 2
"""What a training step on the CPU gains when glibc keeps freed memory (``runner.numerics.keep_freed_memory``).

Each measurement is a process of its own, with one thread: two steps to warm up, then the median of the next ones. The
two settings take turns, in an order drawn anew for each round. Prints, for batches of 64 pictures, the median ratio of
the rounds, their least and greatest, and how many pages a step takes from the system. Time of the processor counts, in
which other programs have the least part.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from runner.models import ResNet
from runner.numerics import keep_freed_memory

BATCH = 64
SETTINGS = {"glibc's own": False, "kept": True}
GOAL = 1.05


def conv() -> nn.Module:
    layers: list[nn.Module] = []
    for narrow, wide in ((3, 32), (32, 64)):
        layers += [nn.Conv2d(narrow, wide, 3, padding=1), nn.BatchNorm2d(wide), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 8 * 8, 10))


def resnet18_small() -> nn.Module:
    return ResNet(in_channels=3, image_size=(32, 32), num_classes=10, width=16, stem="strided")


MODELS = {"conv": conv, "resnet18_small": resnet18_small}


def measured(model: str, steps: int) -> dict[str, Any]:
    """Seconds of the processor and pages from the system, each the median of ``steps`` training steps."""
    torch.set_num_threads(1)
    network = MODELS[model]()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    images, labels = torch.randn(BATCH, 3, 32, 32), torch.randint(0, 10, (BATCH,))
    seconds, pages = [], []
    for _ in range(2 + steps):
        began_s, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.autograd.backward(cross_entropy(network(images), labels))
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.process_time() - began_s)
        pages.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return {"s": statistics.median(seconds[2:]), "pages": statistics.median(pages[2:])}


def in_a_process(model: str, steps: int, *, kept: bool) -> dict[str, Any]:
    command = [sys.executable, __file__, "--steps", str(steps), "--child", model, *(["--kept"] if kept else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def compared(model: str, steps: int, rounds: int) -> str:
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in SETTINGS}
    for _ in range(rounds):
        for name in random.sample(list(SETTINGS), len(SETTINGS)):
            found[name].append(in_a_process(model, steps, kept=SETTINGS[name]))
    before, after = found.values()
    ratios = [one["s"] / other["s"] for one, other in zip(before, after, strict=True)]
    pages = [round(statistics.median(run["pages"] for run in runs)) for runs in (before, after)]
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}, n={rounds}"
    return f"{model}: {statistics.median(ratios):.3f} x ({spread}), goal {GOAL}; pages a step {pages[0]} -> {pages[1]}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=10, help="that are measured in each process")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--child", choices=MODELS, help=argparse.SUPPRESS)
    parser.add_argument("--kept", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.child:
        if args.kept:
            assert keep_freed_memory(), "needs glibc, and no settings of it in the environment"
        print(json.dumps(measured(args.child, args.steps)))
        return 0
    for model in args.models:
        print(compared(model, args.steps, args.rounds), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
