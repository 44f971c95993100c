"""Whether a training repeats to the bit, where it does not, and what exactness costs."""

from __future__ import annotations

import functools
import gc
import os
import statistics
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TextIO

import torch
from torch import Tensor

from runner import digest
from runner.numerics import numerics
from runner.observers.observers import Observers
from runner.session import Session
from runner.trace import BACKWARD, Check, Difference, Recording, Watch, is_compiled, train

WARM_STEPS = 2  # of each timed pass: they allocate, compile and choose algorithms
REFUSED = " does not have a deterministic implementation"


@dataclass(frozen=True)
class Refusal:
    """An operation that torch has in no deterministic form, and where it was asked for."""

    operation: str
    where: str  # "model.unpool (MaxUnpool2d)"


@dataclass(frozen=True)
class Verdict:
    """What two passes with the same algorithms showed: ``tensors`` compared up to the first difference, if any."""

    tensors: int = 0
    difference: Difference | None = None
    refused: tuple[Refusal, ...] = ()

    @property
    def exact(self) -> bool:
        return self.difference is None and not self.refused

    def text(self) -> str:
        if self.refused:
            return "; ".join(f"refused in {refusal.where}: {refusal.operation}" for refusal in self.refused)
        if self.difference is not None:
            return f"differ at {self.difference.text()}"
        return f"repeat to the bit ({self.tensors} tensors)"


@dataclass(frozen=True)
class Report:
    """Both verdicts; and for each pair of timed passes, of ``timed_steps`` each, the time that exactness takes.

    ``ratios`` are deterministic / fast; there are none where deterministic algorithms are refused.
    """

    device: str
    steps: int
    fast: Verdict
    deterministic: Verdict
    ratios: tuple[float, ...]
    timed_steps: int

    def text(self) -> str:
        """For people."""
        return "\n".join(
            (
                f"{self.steps} steps and an evaluation, made twice on {self.device}",
                f"  fast algorithms:          {self.fast.text()}",
                f"  deterministic algorithms: {self.deterministic.text()}",
                f"  cost of exactness:        {self._cost()}",
                self._conclusion(),
            )
        )

    def _cost(self) -> str:
        if not self.ratios:
            return "not measured, as deterministic algorithms are refused"
        percents = [100 * (ratio - 1) for ratio in self.ratios]
        spread = f"{min(percents):.1f} to {max(percents):.1f}"
        return f"{statistics.median(percents):+.1f} % ({spread}, {len(percents)} pairs of {self.timed_steps} steps)"

    def _conclusion(self) -> str:
        if self.fast.exact:
            return "fast algorithms repeat to the bit here: trainer.deterministic=true is not needed"
        if self.deterministic.refused:
            operations = ", ".join(dict.fromkeys(refusal.operation for refusal in self.deterministic.refused))
            return f"no deterministic implementation: replace {operations}"
        if self.deterministic.exact:
            return "set trainer.deterministic=true"
        return (
            "trainer.deterministic=true does not help: look there for what is not torch's own, such as the time, "
            "the order of threads or of files, or random numbers without a seed"
        )


def examine(make: Callable[[], Session], *, steps: int = 20, pairs: int = 3, timing_s: float = 5.0) -> Report:
    """Make the first ``steps`` steps, or as many as the plan has, twice with fast and with deterministic algorithms.

    ``make`` builds the same session anew, at step 0, each time it is called. Looked at are batches, outputs of
    modules, losses, gradients, optimizer states, weights and buffers, then the scores of one evaluation. Networks that
    are compiled are looked at from outside. Tensors are compared by digest; by how much they differ is told for the
    first GiB of a pass. Then both are timed in turn with nobody looking, which must end in the same weights: ``pairs``
    times at least, and as often as there is time in ``timing_s``.
    Raises what the session raises, and ``Interrupted`` when it was asked to stop.
    """
    # CUDA's libraries read this once, when they start: what comes first decides for both, and so it comes first.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    session = make()
    device, precision, steps = session.precision.device, session.precision.name, min(steps, session.plan.total_steps)
    compiled = any(is_compiled(module) for module in session.task.modules())
    del session  # as any after it, it would keep its part of the device's memory

    def fresh() -> Session:
        if device.type != "cpu":
            gc.collect()  # hooks tie a session to itself
        if compiled:
            torch.compiler.reset()  # what one pass has compiled, for an evaluation's shapes, too, would serve the next
        return make()

    tf32 = torch.get_float32_matmul_precision() != "highest"
    algorithms = functools.partial(numerics, device, tf32=tf32)
    verdicts = {}
    for deterministic in (False, True):
        with algorithms(deterministic=deterministic):
            verdicts[deterministic] = _compare(fresh, steps)
    modes = (False,) if verdicts[True].refused else (False, True)
    passes: dict[bool, list[tuple[float, str]]] = {False: [], True: []}
    began_s = time.perf_counter()
    while len(passes[False]) < pairs or time.perf_counter() - began_s < timing_s:
        for deterministic in modes:
            with algorithms(deterministic=deterministic):
                passes[deterministic].append(_timed(fresh(), steps))
    return Report(
        device=f"{device} ({precision})",
        steps=steps,
        fast=_unseen(verdicts[False], passes[False], steps),
        deterministic=_unseen(verdicts[True], passes[True], steps),
        ratios=tuple(exact / fast for (fast, _), (exact, _) in zip(passes[False], passes[True], strict=False)),
        timed_steps=steps - min(WARM_STEPS, steps - 1),
    )


def _unseen(verdict: Verdict, passes: Sequence[tuple[float, str]], steps: int) -> Verdict:
    """Looking waits for the device, which can hide a race: passes that nobody looked at must agree, too."""
    if verdict.exact and len({weights for _, weights in passes}) > 1:
        return replace(verdict, difference=Difference(steps, "weights, and only when nobody looks at each tensor"))
    return verdict


def _timed(session: Session, steps: int) -> tuple[float, str]:
    """Seconds for the steps after the warm ones, and the digest of the weights after all."""
    clock = _Clock(session, first_step=min(WARM_STEPS, steps - 1), last_step=steps)
    train(replace(session, observers=clock), steps=steps)
    return clock.elapsed_s, digest.of_weights(session.task)


class _Clock(Observers):
    """Takes the time between two steps, when the device has made them."""

    def __init__(self, session: Session, *, first_step: int, last_step: int) -> None:
        super().__init__((), session.plan)
        self.device = session.precision.device
        self.first_step, self.last_step = first_step, last_step
        self.elapsed_s = 0.0
        self.began_s = self._now_s()

    def stepped(self, step: int, losses: Mapping[str, Tensor], *, samples: int) -> None:  # noqa: ARG002
        if step == self.first_step:
            self.began_s = self._now_s()
        if step == self.last_step:
            self.elapsed_s = self._now_s() - self.began_s

    def _now_s(self) -> float:
        if self.device.type != "cpu":
            torch.accelerator.synchronize(self.device)  # host sync
        return time.perf_counter()


def _compare(make: Callable[[], Session], steps: int) -> Verdict:
    """Two passes with the algorithms as they are set."""
    recording = Recording()
    refused = _looked_at(Watch(make(), recording.see), steps)
    if refused:
        return Verdict(refused=_all_refused(make, steps, refused))
    check = Check(recording.events)
    _looked_at(Watch(make(), check.see), steps)
    return Verdict(check.tensors, check.end(steps))


def _looked_at(watch: Watch, steps: int) -> Refusal | None:
    """Train and evaluate before the watch's eyes; the operation that was refused, if one was."""
    try:
        watch.train(steps)
    except RuntimeError as error:
        operation, refused, _ = str(error).partition(REFUSED)
        if not refused:
            raise
        return Refusal(operation, watch.where)
    return None


def _all_refused(make: Callable[[], Session], steps: int, first: Refusal) -> tuple[Refusal, ...]:
    """``first``, which is known exactly, and all others: torch warns of them instead of raising.

    Warnings from a backward pass come when it is over, so no module is named for those.
    """
    found = {first.operation: first}
    watch = Watch(make(), lambda *_: None)
    show, always = warnings.showwarning, torch.is_warn_always_enabled()

    def heard(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        operation, refused, _ = str(message).partition(REFUSED)
        if refused:
            where = BACKWARD if watch.where.startswith(BACKWARD) else watch.where
            found.setdefault(operation, Refusal(operation, where))
        else:
            show(message, category, filename, lineno, file, line)

    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_warn_always(True)  # it would warn once in the life of a process
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("always", message=f".*{REFUSED}")
            warnings.showwarning = heard
            watch.train(steps)
    finally:
        torch.set_warn_always(always)
        torch.use_deterministic_algorithms(True)
    return tuple(found.values())
