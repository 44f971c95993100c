"""Examples of any nesting: several inputs, several outputs, names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor, nn

from runner.batch import stacked
from runner.data.data import Data
from runner.data.source import Splits
from runner.losses.terms import Loss
from runner.metrics import Metrics
from runner.preflight.step import contents, example, one_step
from runner.randomness import Randomness
from runner.tasks import Task

CPU = torch.device("cpu")


class Readings:
    """Two inputs under names, and two outputs in a tuple."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        left, right = torch.arange(3.0) + index, torch.full((2,), index / 10)
        return {"inputs": {"left": left, "right": right}, "wanted": (left.sum(), torch.tensor(index % 2))}


@dataclass(frozen=True)
class Spec:
    kind: str = "readings"
    num_classes: int = 2

    def facts(self) -> dict[str, Any]:
        return {}


SPLITS = Splits(Readings(11), Readings(4), Readings(4), Spec(), mean=(), std=())


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(3, 4), nn.Linear(2, 4)
        self.size, self.side = nn.Linear(4, 1), nn.Linear(4, 2)

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        both = torch.tanh(self.left(left) + self.right(right))
        return self.size(both).squeeze(1), self.side(both)


class SizeAndSide(Task):
    """Several inputs, several outputs, a loss of weighted parts."""

    examples = ("readings",)

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.model = TwoHeads()

    def losses(self, batch: Any) -> Iterator[tuple[str, Loss]]:
        yield "model", self._terms(batch)

    def scores(self, batch: Any, metrics: Metrics) -> None:
        metrics.loss(self._terms(batch), weight=len(batch["wanted"][1]))

    def _terms(self, batch: Any) -> dict[str, Tensor]:
        size, side = self.model(**batch["inputs"])
        wanted_size, wanted_side = batch["wanted"]
        squares = nn.functional.mse_loss(size, wanted_size)
        return {"size": 0.1 * squares, "side": nn.functional.cross_entropy(side, wanted_side)}


def data(workers: int = 0) -> Data:
    return Data(SPLITS, device=CPU, batch_size=4, randomness=Randomness(0), workers=workers)


def test_batches_keep_the_nesting() -> None:
    made = data()
    batch = next(made.train(0))
    assert set(batch) == {"inputs", "wanted"}
    assert isinstance(batch["wanted"], tuple)
    assert batch["inputs"]["left"].shape == (4, 3)
    assert torch.equal(batch["wanted"][0], batch["inputs"]["left"].sum(1))
    assert sum(len(batch["wanted"][1]) for batch in made.part("valid")) == 4
    assert made.places == {"train": "never", "valid": "never", "test": "never"}


@pytest.mark.slow
def test_workers_change_nothing() -> None:
    ours, theirs = data().train(0), data(workers=2).train(0)
    for _ in range(4):
        one, other = next(ours), next(theirs)
        assert torch.equal(one["inputs"]["left"], other["inputs"]["left"])
        assert torch.equal(one["wanted"][1], other["wanted"][1])
    ours.close()
    theirs.close()


@pytest.mark.slow
def test_a_training_on_them() -> None:
    """The parts of its loss are measured one by one, and it learns."""
    made = tiny.session(task=SizeAndSide(), parts=SPLITS, steps=60, kind="seq2seq", best={"loss": "min"})
    before = made.evaluate("valid", 0)
    made.train()
    after = made.evaluate("valid", 60)
    assert after["valid/loss"] == pytest.approx(after["valid/size"] + after["valid/side"])
    assert after["valid/loss"] < 0.7 * before["valid/loss"]
    assert made.state.best["valid/loss"] <= after["valid/loss"]


def test_preflight_tries_them() -> None:
    task = SizeAndSide()
    for batch in (example(SPLITS, "cpu", 2), *contents(SPLITS, 2, 4)):
        recorder = one_step(task, batch)
        assert recorder.means == ["loss", "size", "side"]
        assert recorder.terms == {"model": ("size", "side")}


def test_examples_that_differ_are_told() -> None:
    with pytest.raises(ValueError, match="must have the same keys"):
        stacked([{"a": torch.zeros(1)}, {"b": torch.zeros(1)}])
    with pytest.raises(ValueError, match="nested tuples, lists and dicts of tensors, got str"):
        stacked(["a", "b"])
