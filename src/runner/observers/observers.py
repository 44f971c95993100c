"""The one observer that the loop knows: it takes the times, makes the records and passes them on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from runner.observers.observer import EvaluationRecord, Observer, Outcome, RunInfo, StepObserver, StepRecord
from runner.plan import Plan

WARM_STEPS = 2


@dataclass
class _Meter:
    """Samples and training time since the last reading, and the time of warming up, which is no part of it."""

    samples: int = 0
    began: float = 0.0
    warmup_s: float = 0.0

    def read(self, now: float) -> tuple[float | None, float]:
        """Samples a second since the last reading, at training time ``now``, and seconds of warming up; start anew.

        There is no rate when all steps since then were warming up.
        """
        rate = self.samples / max(now - self.began, 1e-9) if self.samples else None
        warmup_s, self.samples, self.began, self.warmup_s = self.warmup_s, 0, now, 0.0
        return rate, warmup_s


class Observers:
    """Tells all observers what happened. Without any, each call returns at once.

    ``learning_rates`` and ``momenta`` are asked at logged steps and evaluations only: ``{"lr": …}``, those of the step
    to come. Throughput counts the time of training steps; evaluations, and what observers do in them, are left out. The
    first two steps of each batch size are told apart: they compile, pick kernels, get memory and record CUDA graphs.
    """

    def __init__(
        self,
        observers: Sequence[Observer],
        plan: Plan,
        learning_rates: Callable[[], Mapping[str, float]] = dict,
        momenta: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        self._observers = tuple(observers)
        self._at_each_step = tuple(observer for observer in self._observers if isinstance(observer, StepObserver))
        self._plan = plan
        self._learning_rates = learning_rates
        self._momenta = momenta
        self._steps = _Meter()
        self._evaluations = _Meter()
        self._began = 0.0
        self._paused_s = 0.0  # spent outside of training steps
        self._pause_began: float | None = None
        self._last_s = 0.0  # the end of the step before
        self._warm: dict[int, int] = {}  # steps that warmed up, by batch size
        self._device = torch.device("cpu")  # of the weights

    def started(self, run: RunInfo) -> None:
        """Training begins, or goes on after ``run.first_step``."""
        self._began = time.perf_counter()
        self._device = next((weight.device for weight in run.task.parameters()), self._device)
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)  # a sweep may have had another run in this process
        for observer in self._observers:
            observer.started(run)
        self._last_s = time.perf_counter()
        self._paused_s = self._last_s - self._began

    def stepped(self, step: int, losses: Mapping[str, Tensor], *, samples: int) -> None:
        """``step`` steps are complete; ``losses`` are scalars on any device. Waits for it only if the plan logs."""
        if not self._observers:
            return
        for observer in self._at_each_step:
            observer.stepped(step)
        if self._warm.get(samples) == WARM_STEPS:
            self._steps.samples += samples
            self._evaluations.samples += samples
        else:
            self._warmed_up(losses, samples)
        logs, evaluates = self._plan.logs(step), self._plan.evaluates(step)
        if not (logs or evaluates):
            self._last_s = time.perf_counter()
            return
        # Before an evaluation the loop itself waits for the device right after this: looking adds no wait,
        # and without it the steps still queued would be counted as evaluation.
        values = _on_host(losses)
        if logs:
            self._log(step, values)
        self._last_s = time.perf_counter()
        if evaluates:
            self._pause_began = self._last_s

    def settled(self) -> None:
        """What was observed is on the disk: a checkpoint is about to be."""
        for observer in self._at_each_step:
            observer.settled()

    def evaluated(self, step: int, metrics: Mapping[str, float], *, best: Mapping[str, float]) -> None:
        """``metrics`` were measured after ``step`` steps; ``best`` are the best values so far, with these."""
        if not self._observers:
            return
        now = time.perf_counter()
        if self._pause_began is None:
            self._pause_began = now
        rate, warmup_s = self._evaluations.read(self._training_s(self._pause_began))
        record = EvaluationRecord(
            step=step,
            epoch=self._plan.epoch(step),
            metrics=dict(metrics),
            best=dict(best),
            learning_rates=dict(self._learning_rates()),
            samples_per_s=rate,
            elapsed_s=now - self._began,
            memory_gib=_peak_gib(self._device),
            warmup_s=warmup_s,
            momenta=dict(self._momenta()),
        )
        for observer in self._observers:
            observer.evaluated(record)
        self._last_s = time.perf_counter()
        self._paused_s += self._last_s - self._pause_began
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

    def _warmed_up(self, losses: Mapping[str, Tensor], samples: int) -> None:
        """The time of this step is neither in one rate nor in the other. Those of the first size are waited for."""
        self._warm[samples] = self._warm.get(samples, 0) + 1
        if len(self._warm) == 1:
            _on_host(losses)
        spent_s = time.perf_counter() - self._last_s
        self._paused_s += spent_s
        self._steps.warmup_s += spent_s
        self._evaluations.warmup_s += spent_s

    def _log(self, step: int, losses: Mapping[str, float]) -> None:
        now = time.perf_counter()
        rate, warmup_s = self._steps.read(self._training_s(now))
        record = StepRecord(
            step=step,
            epoch=self._plan.epoch(step),
            losses=losses,
            learning_rates=dict(self._learning_rates()),
            samples_per_s=rate,
            elapsed_s=now - self._began,
            memory_gib=_peak_gib(self._device),
            warmup_s=warmup_s,
            momenta=dict(self._momenta()),
        )
        for observer in self._observers:
            observer.logged(record)

    def _training_s(self, now: float) -> float:
        return now - self._began - self._paused_s


def _on_host(losses: Mapping[str, Tensor]) -> dict[str, float]:
    """All of them in one transfer."""
    return dict(
        zip(losses, torch.stack([loss.detach() for loss in losses.values()]).tolist(), strict=True)
    )  # host sync


def _peak_gib(device: torch.device) -> float | None:
    """What torch's tensors have taken at most, which it counts on the host; None where it does not count."""
    return torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else None
