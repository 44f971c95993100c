"""The laws of the loop: interrupted = uninterrupted, observed = unobserved, to the bit."""

from __future__ import annotations

import ast
import inspect
import itertools
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny
import torch
from torch import Tensor, nn

from runner import loop
from runner.batch import Batch
from runner.data.augment import NoAugmentation
from runner.observers.observer import EvaluationRecord, Outcome, RunInfo, StepRecord
from runner.observers.observers import Observers
from runner.optim import Constant
from runner.randomness import Randomness
from runner.session import Session
from runner.state import NonFiniteLoss
from runner.tasks import Classification


def stop_at(made: Session, step: int) -> None:
    """Ask a run to stop, as Ctrl-C does, while it makes its ``step``-th step."""
    batches = made.data.train

    def until(first_step: int) -> Iterator[Batch]:
        for number, batch in enumerate(batches(first_step), first_step + 1):
            if number == step:
                made.state.stop = "interrupted"
            yield batch

    made.data.train = until  # type: ignore[method-assign, assignment]


def interrupted_and_resumed(folder: Path, stops: list[int], **settings: object) -> Session:
    for stop in stops:
        made = tiny.session(folder=folder, **settings)  # type: ignore[arg-type]
        stop_at(made, stop)
        made.train()
        assert made.state.step == stop
    made = tiny.session(folder=folder, **settings)  # type: ignore[arg-type]
    made.train()
    return made


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize(
    ("kind", "schedule"),
    [
        ("classification", "cosine"),
        ("classification", "plateau:valid/loss"),
        ("reconstruction", "one_cycle"),
        ("gan", "cosine"),
        ("gan", "plateau:valid/generator_loss"),
    ],
)
def test_interrupted_is_uninterrupted(tmp_path: Path, kind: str, schedule: str, precision: str) -> None:
    """Stopped at the first step, in an epoch, at its end and after it: all that is remembered is the same."""
    whole = tiny.session(kind, schedule=schedule, precision=precision)
    whole.train()
    resumed = interrupted_and_resumed(tmp_path, [1, 3, 5, 6, 12], kind=kind, schedule=schedule, precision=precision)
    assert resumed.state.step == whole.state.step == 14
    assert tiny.differing(whole, resumed) == []


@pytest.mark.parametrize("left_out", ["task", "update/model", "state"])
def test_the_law_of_resumption_can_fail(tmp_path: Path, left_out: str) -> None:
    whole = tiny.session()
    whole.train()
    made = tiny.session(folder=tmp_path)
    stop_at(made, 7)
    made.train()
    resumed = tiny.session(folder=tmp_path)
    fresh = tiny.session()
    part = {"task": fresh.task, "update/model": fresh.updates["model"], "state": fresh.state}[left_out]
    other = {"task": resumed.task, "update/model": resumed.updates["model"], "state": resumed.state}[left_out]
    other.load_state_dict(part.state_dict())  # type: ignore[attr-defined]
    resumed.train()
    assert tiny.differing(whole, resumed)


def test_accumulation_resumes_exactly(tmp_path: Path) -> None:
    whole = tiny.session(micro_batches=2)
    whole.train()
    assert tiny.differing(whole, interrupted_and_resumed(tmp_path, [4, 9], micro_batches=2)) == []


class Meddlesome:
    """Looks at everything, in the ways that observers do."""

    def __init__(self) -> None:
        self.seen: list[object] = []
        self.means: list[float] = []

    def started(self, run: RunInfo) -> None:
        self.run = run

    def logged(self, record: StepRecord) -> None:
        self.seen.append(record)

    def evaluated(self, record: EvaluationRecord) -> None:
        self.means += [value for name, value in record.metrics.items() if name == "train/loss"]
        self.seen.append({name: tensor.float().norm() for name, tensor in self.run.task.state_dict().items()})

    def finished(self, outcome: Outcome) -> None:
        self.seen.append(outcome)


@pytest.mark.parametrize("kind", ["classification", "reconstruction", "gan"])
def test_observed_is_unobserved(tmp_path: Path, kind: str) -> None:
    from runner.observers import Console, CsvFiles, Images, TensorBoard

    alone = tiny.session(kind)
    alone.train()
    observers = [Meddlesome(), CsvFiles(), TensorBoard(histograms=True), Images(count=4), Console(plain=True)]
    watched = tiny.session(kind, folder=tmp_path, observers=observers)  # type: ignore[arg-type]
    watched.train()
    watched.observers.finished(Outcome("completed", 14, {}))
    assert observers[0].seen  # type: ignore[attr-defined]
    assert tiny.differing(alone, watched) == []


class Touching(Meddlesome):
    def evaluated(self, record: EvaluationRecord) -> None:  # noqa: ARG002
        with torch.no_grad():
            next(self.run.task.parameters()).add_(1e-3)


def test_the_law_of_observation_can_fail() -> None:
    alone = tiny.session()
    alone.train()
    touched = tiny.session(observers=[Touching()])
    touched.train()
    assert tiny.differing(alone, touched)


def test_the_same_seed_gives_the_same_bits_and_another_does_not() -> None:
    first, second, other = tiny.session(), tiny.session(), tiny.session(seed=1)
    for made in (first, second, other):
        made.train()
    assert tiny.differing(first, second) == []
    assert any(name.startswith("/task") for name in tiny.differing(first, other))


def test_what_evaluation_draws_does_not_shift_training() -> None:
    """GAN evaluations draw noise: with three times as many evaluations the weights are the same."""
    seldom, often = tiny.session("gan"), tiny.session("gan")
    often.plan = type(often.plan)(**{**vars(often.plan), "evaluate_every_steps": 1})
    seldom.train()
    often.train()
    assert all("loss_s" in name or "best" in name for name in tiny.differing(seldom, often))


def test_a_non_finite_loss_stops_the_run_before_the_step(tmp_path: Path) -> None:
    class Exploding(nn.Module):
        calls = 0

        def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
            self.calls += self.training
            loss = nn.functional.cross_entropy(logits, labels)
            return loss * (math.inf if self.calls == 8 else 1.0)

    task = tiny.task_of("classification")
    assert isinstance(task, Classification)
    task.loss = Exploding()
    made = tiny.session(folder=tmp_path, task=task)
    before: list[Tensor] = []
    hook = made.updates["model"].optimizer.register_step_post_hook(
        lambda *_: before.append(next(task.parameters()).detach().clone())
    )
    with pytest.raises(NonFiniteLoss, match="train/loss became inf"):
        made.train()
    hook.remove()
    assert made.state.step == 7
    assert torch.equal(before[-1], next(task.parameters()))
    assert torch.load(tmp_path / "last.pt", weights_only=True)["step"] == 6


def test_evaluation_counts_each_sample_once() -> None:
    """7 samples in batches of 4: the mean over batches would be another number."""
    made = tiny.session()
    scores = made.evaluate("valid", 0)
    images, labels = (torch.cat(parts) for parts in zip(*made.data.part("valid"), strict=True))
    made.task.eval()
    with torch.no_grad():
        expected = nn.functional.cross_entropy(made.task.model(images), labels)  # type: ignore[operator]
    assert scores["valid/loss"] == pytest.approx(expected.item(), rel=1e-6)


def test_evaluation_leaves_the_task_training_and_its_buffers_alone() -> None:
    made = tiny.session()
    made.task.train()
    before = {name: buffer.clone() for name, buffer in made.task.named_buffers()}
    made.evaluate("valid", 0)
    assert made.task.training
    assert all(torch.equal(before[name], buffer) for name, buffer in made.task.named_buffers())


def test_checkpoints_of_the_best_hold_the_weights_that_scored_it(tmp_path: Path) -> None:
    made = tiny.session(folder=tmp_path, best={"loss": "min"})
    made.train()
    kept = torch.load(tmp_path / "best_loss.pt", weights_only=True)
    assert kept["metrics"] == {"valid/loss": made.state.best["valid/loss"]}
    fresh = tiny.session()
    fresh.task.load_state_dict(kept["task"])
    assert fresh.evaluate("valid", kept["step"])["valid/loss"] == made.state.best["valid/loss"]


def test_train_loss_is_the_mean_over_samples() -> None:
    """Nothing learns, nothing is random: the mean over batches of 5, 5, 5, 5 and 2 is the loss over all of them."""
    task = Classification(nn.Sequential(nn.Flatten(), nn.Linear(tiny.PIXELS**2, tiny.CLASSES)), nn.CrossEntropyLoss())
    made = tiny.session(task=task, steps=5, augmentation=NoAugmentation())
    made.updates["model"].scheduler = Constant()
    for group in made.updates["model"].optimizer.param_groups:
        group["lr"] = 0.0
    keeper = Meddlesome()
    made.observers = Observers([keeper], made.plan)
    made.observers.started(RunInfo("", None, task, made.plan, 0))
    images, labels = (torch.cat(parts) for parts in zip(*itertools.islice(made.data.train(0), 5), strict=True))
    made.train()
    expected = nn.functional.cross_entropy(task.model(images), labels).item()
    assert keeper.means == [pytest.approx(expected, rel=1e-6)]


def test_the_loop_is_one_page_without_branches_on_what_it_runs() -> None:
    source = inspect.getsource(loop.train)
    assert len(source.splitlines()) <= 60
    tree = ast.parse(source)
    branches = [ast.unparse(node.test) for node in ast.walk(tree) if isinstance(node, (ast.If, ast.IfExp))]
    assert branches == ["plan.evaluates(state.step)", "plan.saves(state.step) or checkpoints.is_due()"]


def test_reseeding_makes_draws_a_function_of_the_step() -> None:
    Randomness(3).reseed("step", 7)
    first = torch.rand(4)
    torch.rand(100)
    Randomness(3).reseed("step", 7)
    assert torch.equal(first, torch.rand(4))
