"""What a person at the terminal, or a log file, sees of a run."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from runner.observers.observer import EvaluationRecord, Outcome, RunInfo, StepRecord
from runner.plan import Plan

if TYPE_CHECKING:
    from rich.progress import Progress


NOTICEABLE_S = 2.0
WORTH_BF16 = 2_000_000  # weights: ResNet-18 takes 0.55 of the time in bf16, small networks all of it


class Console:
    """On a terminal a progress bar, and a line for each evaluation; elsewhere plain lines, flushed at once.

    ``plain`` chooses between the two; None asks the standard output. The best values so far carry a star.
    Plain lines on training steps come at most every ``every_s`` seconds. Raises ``ValueError`` for a negative
    ``every_s``.
    """

    def __init__(self, plain: bool | None = None, every_s: float = 10.0) -> None:
        if every_s < 0:
            raise ValueError(f"every_s of Console must not be negative, got {every_s}; set logger.console.every_s=10")
        self.plain = plain
        self.every_s = every_s
        self._plan: Plan | None = None
        self._first_step = 0
        self._bar: _Bar | None = None
        self._last_line_s = 0.0

    def started(self, run: RunInfo) -> None:
        self._plan = run.plan
        self._first_step = run.first_step
        self._last_line_s = time.perf_counter()
        start = f", on from step {run.first_step}" if run.first_step else ""
        folder = f" -> {run.folder}" if run.folder is not None else ""
        budget = f"{run.plan.total_steps} steps, {run.plan.total_epochs} epochs"
        self._print(f"{run.name}: {budget}{start}{folder}")
        if hint := bf16_hint(run):
            self._print(hint)
        plain = not sys.stdout.isatty() if self.plain is None else self.plain
        if not plain and run.first_step < run.plan.total_steps:
            self._bar = _Bar(run.plan, first_step=run.first_step)

    def logged(self, record: StepRecord) -> None:
        assert self._plan is not None, "started comes first"
        values = aligned({**record.losses, **record.learning_rates, **record.momenta})
        remaining = self._remaining(record.step, record.elapsed_s)
        speed = f"{values}  {throughput(record)}  ETA {remaining}"
        if self._bar is not None:
            self._bar.move(record.step, speed)
        elif time.perf_counter() - self._last_line_s >= self.every_s:
            self._print(f"{position(self._plan, record.step)}  {speed}")

    def evaluated(self, record: EvaluationRecord) -> None:
        assert self._plan is not None, "started comes first"
        values = aligned(record.metrics, best=record.best)
        speed = f"{throughput(record)}  {timedelta(seconds=round(record.elapsed_s))}"
        self._print(f"{position(self._plan, record.step)}  {values}  {speed}")

    def finished(self, outcome: Outcome) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        rest = [outcome.reason] if outcome.reason else []
        rest += [f"{name} {number(value)}" for name, value in outcome.metrics.items()]
        self._print(f"{outcome.state} at step {outcome.step}{': ' if rest else ''}{'  '.join(rest)}")

    def _remaining(self, step: int, elapsed_s: float) -> timedelta:
        assert self._plan is not None
        per_step_s = elapsed_s / max(step - self._first_step, 1)
        return timedelta(seconds=round(per_step_s * (self._plan.total_steps - step)))

    def _print(self, line: str) -> None:
        self._last_line_s = time.perf_counter()
        if self._bar is not None:
            self._bar.print(line)
        else:
            print(line, flush=True)


class _Bar:
    """A rich progress bar that is drawn only when it is moved: no thread, nothing per step."""

    def __init__(self, plan: Plan, *, first_step: int) -> None:
        from rich.console import Console as Screen
        from rich.progress import BarColumn, Progress, TextColumn

        self._plan = plan
        self._progress: Progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[speed]}", markup=False),
            console=Screen(file=sys.stdout),
            auto_refresh=False,
            transient=True,
        )
        self._task = self._progress.add_task(
            position(plan, first_step), total=plan.total_steps, completed=first_step, speed=""
        )
        self._progress.start()

    def move(self, step: int, speed: str) -> None:
        self._progress.update(
            self._task, completed=step, description=position(self._plan, step), speed=speed, refresh=True
        )

    def print(self, line: str) -> None:
        self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def stop(self) -> None:
        self._progress.stop()


def bf16_hint(run: RunInfo) -> str:
    """What large convolutional networks gain on a CPU with AMX; nothing where they gain nothing, or have it."""
    if run.hparams.get("trainer.precision") not in ("auto", "fp32"):
        return ""
    weights = list(run.task.parameters())
    convolves = any(weight.ndim == 4 for weight in weights)
    large = sum(weight.numel() for weight in weights) >= WORTH_BF16
    if not (convolves and large and weights[0].is_cpu):
        return ""
    from runner.numerics import has_amx

    settings = "trainer.precision=bf16 trainer.channels_last=true"
    return f"hint: this CPU has AMX; {settings} may be up to 2 times faster, rounded otherwise" if has_amx() else ""


def position(plan: Plan, step: int) -> str:
    """Where a run stands, as wide at the first step as at the last: ``epoch  1.50/3  step  75/150``."""
    epochs, steps = str(plan.total_epochs), str(plan.total_steps)
    return f"epoch {plan.epoch(step):{len(epochs) + 3}.2f}/{epochs}  step {step:{len(steps)}d}/{steps}"


def throughput(record: StepRecord | EvaluationRecord) -> str:
    """``1234 samples/s``, and how long first steps took if that can be felt."""
    rate = "- samples/s" if record.samples_per_s is None else f"{record.samples_per_s:.0f} samples/s"
    return rate if record.warmup_s < NOTICEABLE_S else f"{rate} after {record.warmup_s:.1f} s of warm-up"


def number(value: float) -> str:
    """Four decimals where they say enough, else an exponent: ``0.9812``, ``1.000e-05``, ``nan``."""
    fixed = not math.isfinite(value) or value == 0 or 1e-3 <= abs(value) < 1e5
    return f"{value:.4f}" if fixed else f"{value:.3e}"


def aligned(values: Mapping[str, float], *, best: Mapping[str, float] | None = None) -> str:
    """Names with numbers of one width, starred where a value is the best so far."""
    stars = {name: "*" if (best or {}).get(name) == value else " " for name, value in values.items()}
    return " ".join(f"{name} {number(value):>9}{stars[name]}" for name, value in values.items())
