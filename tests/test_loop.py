"""The order of events in a training. That it obeys the laws is shown in ``test_laws``."""

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


def test_a_run_that_is_asked_to_stop_finishes_its_step_and_saves_it(tmp_path: Path) -> None:
    made = tiny.session(folder=tmp_path)
    stop_at(made, 4)
    made.train()
    assert made.state.step == 4
    assert tiny.differing(made, tiny.session(folder=tmp_path)) == []


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
