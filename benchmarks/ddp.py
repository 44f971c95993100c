# python benchmarks/ddp.py
# python benchmarks/ddp.py --ranks 8 --device cuda --model resnet18 --batch-size 4096 trainer.precision=bf16
"""Training samples of several ranks beside one process: the same global batch, on as many threads or GPUs.

Each is the command ``python -m runner trainer.nproc=N``. Times are of a sample, from ``steps.csv``, without the first
steps.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import itertools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from processes import settings, wall_s
from rounds import Contender, compared, parser, report

from runner.config.schema import TrainerConfig

LOGGED = 10  # steps between two lines


def sample_s(file: Path, *, batch_size: int, first: int) -> float:
    """Seconds of a training sample between step ``first`` and the last one."""
    with file.open(encoding="utf-8", newline="") as lines:
        elapsed_s = {int(line["step"]): float(line["elapsed_s"]) for line in csv.DictReader(lines)}
    last = max(elapsed_s)
    return (elapsed_s[last] - elapsed_s[first]) / (last - first) / batch_size


def run(folder: Path, args: argparse.Namespace, *, ranks: int, threads: int) -> Callable[[], float]:
    numbers = itertools.count()
    size = {"train_size": 20 * args.batch_size, "valid_size": args.batch_size, "test_size": args.batch_size}
    data = settings(**{f"dataset.{key}": value for key, value in size.items()})
    never = {"evaluate_every_steps": args.steps, "save_every_steps": args.steps, "log_every_steps": LOGGED}
    trainer = {"nproc": ranks, "threads": threads, "steps": args.steps, "batch_size": args.batch_size, **never}
    chosen = (f"model={args.model}", "dataset=synthetic", "augmentation=crop_flip", "optimizer=sgd")
    asked = settings(**{f"trainer.{key}": value for key, value in trainer.items()}, **{"trainer.device": args.device})

    def seconds() -> float:
        place = folder / f"{ranks}_{threads}_{next(numbers)}"
        wall_s("-m", "runner", *chosen, *data, *asked, f"hydra.run.dir={place}", *args.overrides, cwd=folder)
        return sample_s(place / "steps.csv", batch_size=args.batch_size, first=args.first)

    return seconds


def main(argv: Sequence[str] | None = None) -> int:
    options = parser(__doc__, rounds=3, warmup=0)
    options.add_argument("--ranks", type=int, default=2)
    options.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    options.add_argument("--model", default="resnet18_small")
    options.add_argument("--batch-size", type=int, default=128, help="of all ranks together")
    options.add_argument("--steps", type=int, default=60, help="of a round, a multiple of 10")
    options.add_argument("--first", type=int, default=20, help="steps of a round that do not count, likewise")
    options.add_argument("overrides", nargs="*", help="of every run")
    args = options.parse_args(argv)
    if "nproc" not in {field.name for field in dataclasses.fields(TrainerConfig)}:
        print("trainer.nproc is not there: this runner trains in one process only; nothing was measured")
        return 1
    what = f"a sample of {args.model}, batch {args.batch_size}, {args.ranks} ranks on {args.device}"
    with TemporaryDirectory() as made:
        one = [Contender("one process, as many threads", run(Path(made), args, ranks=1, threads=args.ranks))]
        alone = Contender(
            "one process, one thread" if args.device == "cpu" else "one process",
            run(Path(made), args, ranks=1, threads=1),
        )
        mine = Contender("ours", run(Path(made), args, ranks=args.ranks, threads=1))
        anchors = [alone, *(one if args.device == "cpu" else [])]
        found = compared(what, mine, anchors, rounds=args.rounds, warmup=args.warmup, seed=args.seed)
    return report(found, args)


if __name__ == "__main__":
    sys.exit(main())
