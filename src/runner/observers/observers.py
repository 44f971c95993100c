"""The one observer that the loop knows: it takes the times, makes the records and passes them on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from runner.observers.observer import EvaluationRecord, Observer, Outcome, RunInfo, StepRecord
from runner.plan import Plan


@dataclass
class _Meter:
    """Samples and training time since the last reading."""

    samples: int = 0
    began: float = 0.0

    def read(self, now: float) -> float:
        """Samples a second since the last reading, at training time ``now`` in seconds; start anew."""
        rate = self.samples / max(now - self.began, 1e-9)
        self.samples, self.began = 0, now
        return rate


class Observers:
    """Tells all observers what happened. Without any, each call returns at once.

    ``learning_rates`` is asked at logged steps and evaluations only: ``{"lr": …}``, the rates of the step to
    come. Throughput counts the time of training steps; evaluations, and what observers do in them, are left out.
    """

    def __init__(
        self,
        observers: Sequence[Observer],
        plan: Plan,
        learning_rates: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        self._observers = tuple(observers)
        self._plan = plan
        self._learning_rates = learning_rates
        self._steps = _Meter()
        self._evaluations = _Meter()
        self._began = 0.0
        self._paused_s = 0.0  # spent outside of training steps
        self._pause_began: float | None = None

    def started(self, run: RunInfo) -> None:
        """Training begins, or goes on after ``run.first_step``."""
        self._began = time.perf_counter()
        for observer in self._observers:
            observer.started(run)
        self._paused_s = time.perf_counter() - self._began

    def stepped(self, step: int, losses: Mapping[str, Tensor], *, samples: int) -> None:
        """``step`` steps are complete; ``losses`` are scalars on any device. Costs nothing unless the plan logs."""
        if not self._observers:
            return
        self._steps.samples += samples
        self._evaluations.samples += samples
        logs, evaluates = self._plan.logs(step), self._plan.evaluates(step)
        if not (logs or evaluates):
            return
        # Before an evaluation the loop itself waits for the device right after this: looking adds no wait,
        # and without it the steps still queued would be counted as evaluation.
        values = torch.stack([loss.detach() for loss in losses.values()]).tolist()  # host sync
        if logs:
            self._log(step, dict(zip(losses, values, strict=True)), device=next(iter(losses.values())).device)
        if evaluates:
            self._pause_began = time.perf_counter()

    def evaluated(self, step: int, metrics: Mapping[str, float], *, best: Mapping[str, float]) -> None:
        """``metrics`` were measured after ``step`` steps; ``best`` are the best values so far, with these."""
        if not self._observers:
            return
        now = time.perf_counter()
        if self._pause_began is None:
            self._pause_began = now
        record = EvaluationRecord(
            step=step,
            epoch=self._plan.epoch(step),
            metrics=dict(metrics),
            best=dict(best),
            learning_rates=dict(self._learning_rates()),
            samples_per_s=self._evaluations.read(self._training_s(self._pause_began)),
            elapsed_s=now - self._began,
        )
        for observer in self._observers:
            observer.evaluated(record)
        self._paused_s += time.perf_counter() - self._pause_began
        self._pause_began = None

    def finished(self, outcome: Outcome) -> None:
        """Training ended, well or not. All are told even when one fails; then the first failure is raised."""
        failures: list[Exception] = []
        for observer in self._observers:
            try:
                observer.finished(outcome)
            except Exception as failure:
                failures.append(failure)
        if failures:
            for later in failures[1:]:
                failures[0].add_note(f"another observer failed, too: {type(later).__name__}: {later}")
            raise failures[0]

    def _log(self, step: int, losses: Mapping[str, float], *, device: torch.device) -> None:
        now = time.perf_counter()
        on_gpu = device.type == "cuda"
        record = StepRecord(
            step=step,
            epoch=self._plan.epoch(step),
            losses=losses,
            learning_rates=dict(self._learning_rates()),
            samples_per_s=self._steps.read(self._training_s(now)),
            elapsed_s=now - self._began,
            device_memory_gib=torch.cuda.max_memory_allocated(device) / 2**30 if on_gpu else None,
        )
        for observer in self._observers:
            observer.logged(record)

    def _training_s(self, now: float) -> float:
        return now - self._began - self._paused_s
