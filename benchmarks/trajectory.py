# python benchmarks/trajectory.py                         on a GPU, if there is one; else the CPU, some minutes
# python benchmarks/trajectory.py --model mlp --batch-size 128 --steps 400 --first 100
"""What recording weights costs: a step of a whole run that does, beside a step of the same run that does not.

All weights but norms and biases, fp32, one snapshot in ``--every`` steps; CIFAR-shaped random images. A third run
records in the format safetensors. They take turns, in an order that is shuffled in each round.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

import torch
from ours import configured, took_s
from rounds import Contender, Goal, compared, parser, report

LIMIT = 1.05


def contender(args: argparse.Namespace, *overrides: str) -> Callable[[], float]:
    """Seconds of a step of a whole run with ``overrides``."""
    cfg = configured(
        *("dataset=synthetic", f"dataset.train_size={16 * args.batch_size}", "dataset.valid_size=16"),
        *("dataset.test_size=16", "dataset.channels=3", "dataset.height=32", "dataset.width=32"),
        *("augmentation=none", f"model={args.model}", "optimizer=sgd", "scheduler=constant", *overrides),
        steps=args.steps,
        evaluate_every_steps=args.steps,
        save_every_steps=args.steps,
        log_every_steps=args.every,
        batch_size=args.batch_size,
        device=args.device,
        channels_last=args.device == "cuda",
    )
    return lambda: took_s(cfg, first_step=args.first, last_step=args.steps) / (args.steps - args.first)


def main(argv: Sequence[str] | None = None) -> int:
    on_gpu = torch.cuda.is_available()
    made = parser(__doc__, rounds=5, warmup=1)
    made.add_argument("--model", default="resnet18")
    made.add_argument("--device", default="cuda" if on_gpu else "cpu")
    made.add_argument("--batch-size", type=int, default=512 if on_gpu else 32)
    made.add_argument("--every", type=int, default=10, help="steps between two snapshots (default: %(default)s)")
    made.add_argument("--steps", type=int, default=350 if on_gpu else 30)
    made.add_argument("--first", type=int, default=50 if on_gpu else 10, help="steps that do not count")
    args = made.parse_args(argv)
    if args.first % args.every or args.steps % args.every:
        raise SystemExit(f"--first and --steps must be multiples of --every={args.every}: the clock stands there")
    recording = ("trajectory=steps", f"trajectory.every_steps={args.every}")
    ours = Contender("recorded", contender(args, *recording))
    bare = Contender("not recorded", contender(args), goal=Goal("<=", LIMIT))
    other = Contender("safetensors", contender(args, *recording, "trajectory.format=safetensors"), needs="safetensors")
    what = f"{args.model}, one snapshot in {args.every} steps"
    found = compared(what, ours, [bare, other], rounds=args.rounds, warmup=args.warmup, seed=args.seed)
    return report(found, args, device=args.device)


if __name__ == "__main__":
    sys.exit(main())
