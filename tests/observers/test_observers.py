"""The composite: it makes records, costs nothing when nobody looks, and lets nobody touch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from runner.batch import Batch
from runner.observers import (
    Console,
    CsvFiles,
    EvaluationRecord,
    Images,
    Observer,
    Observers,
    Outcome,
    RunInfo,
    StepRecord,
    TensorBoard,
)
from runner.plan import Plan
from runner.tasks.task import Task

PLAN = Plan.of(steps_per_epoch=4, epochs=2, log_every_steps=3)


class Noisy(Task):
    """Draws random numbers wherever it can, and has layers that behave differently in training."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.Dropout(), nn.Conv2d(2, 1, 1))
        self.model[3].eval()  # one module that is not in the mode of the others

    def losses(self, batch: Batch) -> Iterator[tuple[str, Tensor]]:
        images = batch[0]
        yield "model", (self.model(images + 0.1 * torch.randn_like(images)) - images).square().mean()

    def pictures(self, batch: Batch) -> dict[str, Tensor]:
        return {"noisy": self.model(batch[0]) + torch.randn(4, 1, 8, 8)}


class Seen:
    """Keeps everything it is told."""

    def __init__(self) -> None:
        self.steps: list[StepRecord] = []
        self.evaluations: list[EvaluationRecord] = []
        self.outcomes: list[Outcome] = []

    def started(self, run: RunInfo) -> None: ...

    def logged(self, record: StepRecord) -> None:
        self.steps.append(record)

    def evaluated(self, record: EvaluationRecord) -> None:
        self.evaluations.append(record)

    def finished(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


class Failing(Seen):
    def finished(self, outcome: Outcome) -> None:
        super().finished(outcome)
        raise RuntimeError(f"cannot close at step {outcome.step}")


def run_info(task: Task, *, folder: Path | None = None, sample: Batch = None) -> RunInfo:
    return RunInfo(
        name="noisy__0",
        folder=folder,
        task=task,
        plan=PLAN,
        first_step=0,
        config_text="seed: 0",
        hparams={"seed": 0, "sizes": [1, 2]},
        sample=sample,
        mean=(0.5,),
        std=(0.25,),
    )


def train(observers: Observers, folder: Path | None) -> tuple[dict[str, Tensor], Tensor, list[bool]]:
    """A plain loop; the weights and buffers, the generator's state and the modes that it ends with."""
    torch.manual_seed(0)
    task = Noisy()
    optimizer = torch.optim.SGD(task.parameters(), lr=0.1, momentum=0.9)
    images = torch.rand(6, 1, 8, 8)
    observers.started(run_info(task, folder=folder, sample=(images[:4],)))
    for step in range(1, PLAN.total_steps + 1):
        (_, loss), *_ = task.losses((images,))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        observers.stepped(step, {"train/loss": loss.detach()}, samples=len(images))
        if PLAN.evaluates(step):
            observers.evaluated(step, {"valid/loss": 1.0 / step}, best={"valid/loss": 1.0 / step})
    observers.finished(Outcome("completed", PLAN.total_steps, {"test/loss": 0.5}))
    modes = [module.training for module in task.modules()]
    return {name: value.clone() for name, value in task.state_dict().items()}, torch.get_rng_state(), modes


def test_a_run_with_every_observer_ends_as_one_with_none(tmp_path: Path) -> None:
    everyone: list[Observer] = [
        Console(plain=True, every_s=0),
        Console(plain=False),
        CsvFiles(),
        TensorBoard(histograms=True),
        Images(),
    ]
    weights, generator, modes = train(Observers(everyone, PLAN, lambda: {"lr": 0.1}), tmp_path)
    alone, alone_generator, alone_modes = train(Observers([], PLAN), None)
    assert list(weights) == list(alone)
    assert all(torch.equal(weights[name], alone[name]) for name in alone)
    assert torch.equal(generator, alone_generator)
    assert modes == alone_modes
    assert not all(modes)
    made = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*")}
    assert made == {"history.csv", "steps.csv", "tensorboard", "images"}


def test_a_run_with_an_observer_that_draws_ends_otherwise() -> None:
    class Draws(Seen):
        def logged(self, record: StepRecord) -> None:
            super().logged(record)
            torch.rand(1)

    _, generator, _ = train(Observers([Draws()], PLAN), None)
    _, alone, _ = train(Observers([], PLAN), None)
    assert not torch.equal(generator, alone)


def test_records_come_when_the_plan_says_and_hold_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count()  # a second passes at each look
    monkeypatch.setattr("runner.observers.observers.time.perf_counter", lambda: float(next(clock)))
    seen = Seen()
    observers = Observers([seen], PLAN, lambda: {"lr/a": 0.1, "lr/b": 0.2})
    observers.started(run_info(Noisy()))
    for step in range(1, PLAN.total_steps + 1):
        losses = {"train/a_loss": torch.tensor(float(step), requires_grad=True), "train/b_loss": torch.tensor(0.5)}
        observers.stepped(step, losses, samples=10)
        if PLAN.evaluates(step):
            observers.evaluated(step, {"valid/loss": 0.1}, best={"valid/loss": 0.1})
    assert [record.step for record in seen.steps] == [3, 6, 8]
    assert [record.epoch for record in seen.steps] == [0.75, 1.5, 2.0]
    assert seen.steps[0].losses == {"train/a_loss": 3.0, "train/b_loss": 0.5}
    assert seen.steps[0].learning_rates == {"lr/a": 0.1, "lr/b": 0.2}
    assert seen.steps[0].memory_gib is None
    # Looks at the clock: 0, 1 started; 2, 3 step 1 and 4, 5 step 2, which warm up from 1 to 2 and from 3 to 4;
    # 6 log 3, 7 its end; 8 pause, 9 record, 10 end (2 s outside of training); 11 step 5; 12 log 6, 13 its end …
    assert [record.samples_per_s for record in seen.steps] == [10 / 3, 30 / 4, 20 / 3]
    assert [record.warmup_s for record in seen.steps] == [2.0, 0.0, 0.0]
    assert [record.elapsed_s for record in seen.steps] == [6.0, 12.0, 15.0]
    assert [(record.step, record.samples_per_s) for record in seen.evaluations] == [(4, 20 / 5), (8, 40 / 6)]
    assert [record.warmup_s for record in seen.evaluations] == [2.0, 0.0]
    assert seen.evaluations[0].metrics == {"valid/loss": 0.1}
    assert seen.evaluations[0].best == {"valid/loss": 0.1}


def test_the_first_steps_of_a_batch_size_are_no_part_of_the_throughput(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("runner.observers.observers.time.perf_counter", lambda: now)
    seen = Seen()
    observers = Observers([seen], Plan.of(steps_per_epoch=5, epochs=1, log_every_steps=2))
    observers.started(run_info(Noisy()))
    # a minute to compile, seconds to record a graph, ten samples a second, and a short batch that compiles again
    for step, (samples, seconds) in enumerate([(10, 60.0), (10, 5.0), (10, 1.0), (10, 1.0), (4, 30.0)], 1):
        now += seconds
        observers.stepped(step, {"train/loss": torch.tensor(0.5)}, samples=samples)
    observers.evaluated(5, {}, best={})
    assert [(record.samples_per_s, record.warmup_s) for record in seen.steps] == [
        (None, 65.0),
        (10.0, 0.0),
        (None, 30.0),
    ]
    assert [(record.samples_per_s, record.warmup_s) for record in seen.evaluations] == [(10.0, 95.0)]
    assert seen.evaluations[0].elapsed_s == 97.0


def test_steps_that_are_not_logged_do_not_look_at_losses() -> None:
    class Untouchable:
        def __getattr__(self, name: str) -> object:
            raise AssertionError(f"a loss was looked at: {name}")

    losses: dict[str, Tensor] = {"train/loss": Untouchable()}  # type: ignore[dict-item]
    looking = Observers([Seen()], PLAN)
    for step in (1, 2):  # the first steps are waited for
        looking.stepped(step, {"train/loss": torch.tensor(0.5)}, samples=1)
    looking.stepped(5, losses, samples=1)
    looking.stepped(7, losses, samples=7)  # those of another batch size are not
    Observers([], PLAN).stepped(3, losses, samples=1)
    with pytest.raises(AssertionError, match="looked at"):
        looking.stepped(3, losses, samples=1)


def test_all_are_told_of_the_end_and_the_first_failure_is_raised() -> None:
    first, second, last = Failing(), Failing(), Seen()
    with pytest.raises(RuntimeError, match="cannot close at step 5") as caught:
        Observers([first, second, last], PLAN).finished(Outcome("failed", 5, {}))
    assert [len(observer.outcomes) for observer in (first, second, last)] == [1, 1, 1]
    assert "another observer failed, too" in caught.value.__notes__[0]


def test_the_end_may_come_before_the_start() -> None:
    everyone: list[Observer] = [Console(plain=True), CsvFiles(), TensorBoard(), Images()]
    Observers(everyone, PLAN).finished(Outcome("failed", 0, {}, "no data"))


@pytest.mark.parametrize("observer", [CsvFiles(), TensorBoard(), Images()])
def test_files_need_a_folder(observer: Observer) -> None:
    with pytest.raises(ValueError, match="needs a run with a folder"):
        observer.started(run_info(Noisy()))


@pytest.mark.gpu
def test_memory_is_the_peak_of_this_run_in_gib() -> None:
    torch.zeros(2**29, device="cuda")  # 2 GiB, of a run before
    task, seen = Noisy().cuda(), Seen()
    observers = Observers([seen], PLAN)
    observers.started(run_info(task))
    observers.stepped(3, {"train/loss": torch.zeros(2**28, device="cuda").sum()}, samples=1)  # 1 GiB
    observers.stepped(4, {"train/loss": torch.zeros((), device="cuda")}, samples=1)
    observers.evaluated(4, {}, best={})
    for memory in (seen.steps[0].memory_gib, seen.evaluations[0].memory_gib):
        assert memory is not None
        assert 1.0 <= memory < 1.5


@pytest.mark.gpu
def test_steps_between_two_logged_ones_do_not_wait_for_the_gpu() -> None:
    observers = Observers([Seen()], PLAN)
    observers.started(run_info(Noisy().cuda()))
    loss = {"train/loss": torch.zeros((), device="cuda")}
    observers.stepped(1, loss, samples=1)
    observers.stepped(2, loss, samples=1)
    torch.cuda.set_sync_debug_mode("error")
    try:
        observers.stepped(5, loss, samples=1)
        with pytest.raises(RuntimeError, match="synchroniz"):
            observers.stepped(6, loss, samples=1)
    finally:
        torch.cuda.set_sync_debug_mode("default")
