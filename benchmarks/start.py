# python benchmarks/start.py
# python benchmarks/start.py --root shared/data --rounds 9
"""Whole processes: ``mlp`` on MNIST to one step and out, beside Lightning with Hydra and a conventional script.

All read the whole data set and then take one step of 64 samples, look at one batch to validate and one to test, write
a checkpoint and end. A lean process, which only imports torch and takes a step, shows what nobody can go below.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import mnist
from processes import ANCHORS, settings, wall_s
from rounds import Contender, Goal, compared, parser, report

BATCH_SIZE = 64


def contenders(root: Path, folder: Path, *, workers: int) -> list[Contender]:
    """Ours first."""
    numbers = itertools.count()

    def process(*arguments: str, folder_key: str = "") -> float:
        place = folder / str(next(numbers))
        return wall_s(*arguments, *([f"{folder_key}={place}"] if folder_key else []), cwd=folder)

    def ours() -> float:
        data = (f"dataset.root={root}", "dataset.download=false", f"debug.samples={BATCH_SIZE}")
        trainer = settings(**{"trainer.steps": 1, "trainer.batch_size": BATCH_SIZE})
        chosen = ("model=mlp", "dataset=mnist", "augmentation=none", "scheduler=constant")
        return process("-m", "runner", *chosen, *data, *trainer, folder_key="hydra.run.dir")

    def lightning() -> float:
        limits = {f"trainer.limit_{part}_batches": 1 for part in ("train", "val", "test")}
        values = settings(**{"data.data_dir": root, "data.num_workers": workers, **limits})
        return process(str(ANCHORS / "lightning_template.py"), *values, folder_key="hydra.run.dir")

    def conventional() -> float:
        values = settings(data_dir=root, workers=workers, max_steps=1, max_eval_batches=1)
        return process(str(ANCHORS / "conventional.py"), *values, folder_key="hydra.run.dir")

    return [
        Contender("ours", ours),
        Contender("Lightning + Hydra + TensorBoard", lightning, Goal("<=", 0.45), needs="lightning"),
        Contender("Hydra + torchvision + DataLoader", conventional, Goal("<=", 0.65)),
        Contender("import torch, one step", lambda: process(str(ANCHORS / "lean.py"))),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    options = parser(__doc__, rounds=5, warmup=1)
    options.add_argument("--root", type=Path, default=Path("data"), help="folder with MNIST/raw; random images if not")
    options.add_argument("--train-size", type=int, help="so many random images instead")
    options.add_argument("--workers", type=int, default=0, help="of the anchors: none is their fastest for one step")
    args = options.parse_args(argv)
    with TemporaryDirectory() as made:
        root, what = mnist.unpacked(args.root, Path(made) / "data", train_size=args.train_size)
        ours, *anchors = contenders(root, Path(made), workers=args.workers)
        found = compared(
            f"process, one step of mlp, {what}",
            ours,
            anchors,
            rounds=args.rounds,
            warmup=args.warmup,
            seed=args.seed,
        )
    return report(found, args)


if __name__ == "__main__":
    sys.exit(main())
