"""One step and one evaluation on tensors without data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import tiny
import torch
from preflight.conftest import Changed
from torch import Tensor

from runner.config import build
from runner.preflight import trial
from runner.preflight.step import example, one_step
from runner.preflight.trial import describe
from runner.tasks import Task


def test_an_example_has_the_shape_of_the_data_and_no_content() -> None:
    images, labels = example(tiny.splits(), "meta", 2)
    assert images.shape[1:] == (1, tiny.PIXELS, tiny.PIXELS)
    assert images.is_meta
    assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)


@pytest.mark.parametrize("kind", ["classification", "reconstruction", "gan", "seq2seq"])
def test_a_step_without_data_measures_what_a_real_one_does(kind: str) -> None:
    with torch.device("meta"):
        task = tiny.task_of(kind)
    recorder = one_step(task, example(tiny.splits_of(kind), "meta", 2))
    assert set(recorder.means) == {key.partition("/")[2] for key in tiny.session(kind).evaluate("valid", 0)}
    assert all(parameter.grad is not None for parameter in task.parameters())


class Stranger(Task):
    def __init__(self) -> None:
        super().__init__()
        self.model = torch.nn.Linear(2, 2)

    def losses(self, batch: Tensor) -> Iterator[tuple[str, Tensor]]:
        yield "modle", self.model(batch).sum()


def test_a_loss_for_a_network_that_is_not_there_is_told() -> None:
    with pytest.raises(ValueError, match="Stranger yields a loss for 'modle'"):
        one_step(Stranger(), torch.zeros(2, 2))


def test_an_error_for_the_reader_is_told_as_it_is_and_others_with_their_place() -> None:
    assert describe(ValueError("set x=1")) == "set x=1"
    try:
        [][0]
    except IndexError as error:
        text = describe(error)
    assert text.startswith("IndexError: list index out of range (at ")
    assert "test_trial.py:" in text


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {
                "trainer.micro_batches": 2,
                "loss": {"_target_": "runner.losses.CrossEntropy", "weight": [2.0] + [1.0] * 9},
            },
            "trainer.micro_batches=2: cannot split a loss in which samples count differently",
        ),
        (
            {"scheduler": {"_target_": "runner.optim.schedulers.plateau", "monitor": "valid/los"}},
            "scheduler.monitor=valid/los: is not measured; there are: valid/loss, train/loss; did you mean valid/loss?",
        ),
        (
            {
                "task": {"_target_": "runner.tasks.Reconstruction"},
                "loss": {"_target_": "torch.nn.MSELoss"},
                "model": {"_target_": "runner.models.CAE", "channels": [4]},
                "metrics": {"accuracy": {"_target_": "runner.metrics.accuracy"}},
            },
            "metrics.accuracy: measures nothing that Reconstruction gives",
        ),
        ({"trainer.micro_batches": 5}, "trainer.micro_batches=5: is more than trainer.batch_size=4"),
        ({"trainer.threads": 100000}, "trainer.threads=100000: must be at most 1024"),
        ({"optimizer.decay_norms_and_biases": "abc"}, "optimizer.decay_norms_and_biases=abc: must be true or false"),
        ({"loss": {"_target_": "torch.nn.MultiMarginLoss"}}, None),  # has no meta kernel: tried on the CPU
    ],
)
def test_what_would_go_wrong_later_is_told(
    found: Callable[[dict[str, Any]], list[str]], values: dict[str, Any], message: str | None
) -> None:
    lines = found(values)
    assert lines == [] if message is None else (len(lines) == 1 and lines[0].startswith(message)), lines


def test_a_model_that_gives_another_shape_than_the_task_means_is_told(
    found: Callable[[dict[str, Any]], list[str]],
) -> None:
    (line,) = found({"model": {"_target_": "runner.models.CAE", "channels": [4]}})
    assert "the model gives (2, 1, 8, 8), but scores (2, 10) are needed" in line


@pytest.mark.parametrize(("small_bytes", "device"), [(2**26, "cpu"), (10, "meta")])
def test_small_models_are_tried_on_the_cpu_at_once(
    changed: Changed, monkeypatch: pytest.MonkeyPatch, small_bytes: int, device: str
) -> None:
    monkeypatch.setattr(trial, "SMALL_BYTES", small_bytes)
    cfg = changed({})
    done = trial.tried(cfg, build.load_splits(cfg), at_once=True)
    assert (done.device, done.problems, done.unchecked) == (device, [], [])
    assert trial.tried(cfg, build.load_splits(cfg)).device == "meta"
