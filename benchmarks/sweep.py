# python benchmarks/sweep.py                    50 jobs under each launcher, twice, in turn
# python benchmarks/sweep.py --jobs 10 logger=[]     fewer jobs, with settings of your own
"""What a job of a sweep costs besides its training, under the pool, Hydra's basic launcher and, if there, joblib.

A sweep of one-step jobs of ``mlp`` is the command that a user types, in a process of its own. Its wall time, less that
of a sweep with one job, which is start, checks and end, is divided by the number of the other jobs; the median duration
of a step, from ``steps.csv``, is taken off. The second number is all of the wall time, start included, over all jobs.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

STEP = ("model=mlp", "trainer.steps=1", "trainer.log_every_steps=1", "trainer.workers=0")
LAUNCHERS = {
    "pool": ("hydra/launcher=pool",),
    "pool, 2 at once": ("hydra/launcher=pool", "hydra.launcher.n_jobs=2"),
    "basic": ("hydra/launcher=basic",),
    "joblib": ("hydra/launcher=joblib", "hydra.launcher.n_jobs=1"),
    "joblib, 2 at once": ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
}


@dataclass
class Measured:
    """Wall times of one launcher, in seconds."""

    one_s: list[float] = field(default_factory=list)  # of sweeps with one job
    all_s: list[float] = field(default_factory=list)  # of sweeps with all jobs

    def overhead_s(self, jobs: int, step_s: float) -> float:
        """Of one more job."""
        return (min(self.all_s) - min(self.one_s)) / (jobs - 1) - step_s

    def whole_s(self, jobs: int, step_s: float) -> float:
        """Of each job, when the start of the sweep is shared among them."""
        return min(self.all_s) / jobs - step_s


def available() -> dict[str, tuple[str, ...]]:
    joblib = importlib.util.find_spec("joblib") is not None
    return {name: overrides for name, overrides in LAUNCHERS.items() if joblib or "joblib" not in name}


def wall_s(folder: Path, jobs: int, overrides: Sequence[str]) -> float:
    """The wall time of a sweep of so many jobs, all of which must complete."""
    seeds = f"seed={','.join(map(str, range(jobs)))}"
    command = [sys.executable, "-m", "runner", *STEP, seeds, *overrides, f"hydra.sweep.dir={folder}", "-m"]
    started_s = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    took_s = time.perf_counter() - started_s
    if done.returncode != 0 or f"{jobs} of {jobs} runs completed" not in done.stdout:
        raise SystemExit(f"{' '.join(command)} did not complete:\n{done.stdout}{done.stderr}")
    return took_s


def steps_s(root: Path) -> Iterator[float]:
    """How long the step of each job took that wrote it down."""
    for file in root.glob("*/*/steps.csv"):
        with file.open() as lines:
            yield from (float(line["elapsed_s"]) for line in csv.DictReader(lines))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=50, help="of each sweep")
    parser.add_argument("--rounds", type=int, default=2, help="how often each sweep is run; the fastest counts")
    parser.add_argument("--markdown", action="store_true", help="print rows for docs/benchmarks.md")
    parser.add_argument("overrides", nargs="*", help="of every job")
    args = parser.parse_args(argv)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    found = {name: Measured() for name in available()}
    with tempfile.TemporaryDirectory() as made:
        root = Path(made)
        for _ in range(args.rounds):
            for name, overrides in available().items():
                for jobs, times in ((1, found[name].one_s), (args.jobs, found[name].all_s)):
                    folder = root / f"{name.partition(',')[0]}_{len(list(root.iterdir()))}_{jobs}"
                    times.append(wall_s(folder, jobs, [*overrides, *args.overrides]))
        step_s = statistics.median(list(steps_s(root)) or [0.0])
    print(f"{args.jobs} jobs of one step, which takes {step_s:.3f} s; the fastest of {args.rounds} rounds")
    print(table(found, args.jobs, step_s, markdown=args.markdown))
    return 0


def table(found: Mapping[str, Measured], jobs: int, step_s: float, *, markdown: bool) -> str:
    lines = [("launcher", "a job", "with its share of the start")]
    lines += [
        (name, f"{measured.overhead_s(jobs, step_s):.3f} s", f"{measured.whole_s(jobs, step_s):.3f} s")
        for name, measured in found.items()
    ]
    if markdown:
        return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], ("---",) * 3, *lines[1:]))
    return "\n".join(f"{name:20}{job:>12}{whole:>32}" for name, job, whole in lines)


if __name__ == "__main__":
    sys.exit(main())
