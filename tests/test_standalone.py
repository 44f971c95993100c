"""Training without a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import runner
from runner.data.source import Arrays
from runner.standalone import Result, train
from runner.state import NonFiniteLoss
from runner.tasks import Classification, Task


def data() -> tuple[Tensor, Tensor]:
    part = tiny.splits().train
    assert isinstance(part, Arrays)
    images, labels = part.tensors
    return images / 255.0, labels


def loader(*, shuffle: bool = True, workers: int = 0) -> DataLoader[Any]:
    return DataLoader(TensorDataset(*data()), batch_size=5, shuffle=shuffle, num_workers=workers)


def trained(task: Task, source: Any, **settings: Any) -> Result:
    """Nearly three epochs, with everything that has a memory."""
    optimizers = {name: torch.optim.Adam(net.parameters(), lr=0.01) for name, net in task.networks().items()}
    settings = {"steps": 14, "batch_size": 5, "valid": data(), "evaluate_every_steps": 4, **settings}
    return train(task, optimizers, source, **settings)


def same(left: Task, right: Task) -> bool:
    pairs = zip(left.state_dict().values(), right.state_dict().values(), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


def test_ten_lines_learn() -> None:
    torch.manual_seed(0)
    images, labels = data()
    task = runner.Classification(
        nn.Sequential(nn.Flatten(), nn.Linear(tiny.PIXELS**2, tiny.CLASSES)), nn.CrossEntropyLoss()
    )
    optimizer = torch.optim.Adam(task.parameters(), lr=0.05)
    parts: dict[str, Any] = {"valid": (images, labels), "test": (images, labels)}
    result = runner.train(task, optimizer, (images, labels), **parts, epochs=40, batch_size=tiny.SAMPLES)
    assert result.history[-1]["valid/loss"] < 0.5 * result.history[0]["valid/loss"]
    assert result.metrics == {"test/loss": pytest.approx(result.history[-1]["valid/loss"])}
    assert result.steps == 40


@pytest.mark.parametrize("kind", ["classification", "reconstruction", "gan"])
@pytest.mark.parametrize("source", ["tensors", "loader"])
def test_a_training_goes_on_from_its_folder_exactly(tmp_path: Path, kind: str, source: str) -> None:
    """Stopped in an epoch and at its end; shuffled by us or by the loader."""

    def given() -> Any:
        return data() if source == "tensors" else loader()

    whole = tiny.task_of(kind)
    last = trained(whole, given())
    for steps in (3, 5, 14):
        part = tiny.task_of(kind)
        result = trained(part, given(), steps=steps, folder=tmp_path)
        assert result.steps == steps
    assert same(whole, part)
    assert result.history[-1] == last.history[-1]
    assert not same(whole, tiny.task_of(kind))


def test_the_same_seed_gives_the_same_and_another_does_not() -> None:
    tasks = [tiny.task_of("classification") for _ in range(3)]
    for task, seed in zip(tasks, (0, 0, 1), strict=True):
        trained(task, data(), seed=seed)
    assert same(tasks[0], tasks[1])
    assert not same(tasks[0], tasks[2])


def test_tensors_and_a_loader_without_shuffling_are_the_same_data() -> None:
    """One batch that holds everything: order does not matter but for its sums."""
    tasks = [tiny.task_of("reconstruction") for _ in range(2)]
    images, _ = data()
    everything = DataLoader(TensorDataset(images), batch_size=tiny.SAMPLES)
    for task, source in zip(tasks, (images, everything), strict=True):
        task.networks()["model"][2].p = 0.0  # type: ignore[index]
        trained(task, source, steps=3, batch_size=tiny.SAMPLES, valid=images)
    for one, other in zip(tasks[0].parameters(), tasks[1].parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_a_training_that_is_complete_is_not_begun_again(tmp_path: Path) -> None:
    first = trained(tiny.task_of("classification"), data(), test=data(), folder=tmp_path)
    task = tiny.task_of("classification")
    again = trained(task, data(), test=data(), folder=tmp_path)
    assert (again.steps, again.metrics, again.history) == (14, first.metrics, [])


def test_a_torch_schedule_advances_once_a_step() -> None:
    task = tiny.task_of("classification")
    optimizer = torch.optim.SGD(task.parameters(), lr=1.0)
    schedules: list[torch.optim.lr_scheduler.LRScheduler] = []

    def schedule(which: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
        schedules.append(torch.optim.lr_scheduler.StepLR(which, step_size=2, gamma=0.5))
        return schedules[0]

    train(task, optimizer, data(), steps=4, batch_size=5, schedule=schedule)
    assert optimizer.param_groups[0]["lr"] == 0.25


def test_without_other_parts_there_is_nothing_but_the_training_loss() -> None:
    result = trained(tiny.task_of("classification"), data(), valid=None)
    assert set(result.history[-1]) == {"step", "epoch", "train/loss"}
    assert set(result.metrics) == {"train/loss"}


def test_best_checkpoints_and_metrics(tmp_path: Path) -> None:
    result = trained(tiny.task_of("classification"), data(), best={"loss": "min"}, folder=tmp_path)
    kept = torch.load(tmp_path / "checkpoints/best_loss.pt", weights_only=True)["metrics"]["valid/loss"]
    assert kept == min(row["valid/loss"] for row in result.history)


class Watching:
    """Keeps how it ended."""

    def __init__(self) -> None:
        self.states: list[str] = []

    def started(self, run: object) -> None: ...

    def logged(self, record: object) -> None: ...

    def evaluated(self, record: object) -> None: ...

    def finished(self, outcome: Any) -> None:
        self.states.append(outcome.state)


def test_observers_are_told_the_end_whatever_it_is() -> None:
    watching = Watching()
    trained(tiny.task_of("classification"), data(), observers=[watching])
    broken = tiny.task_of("classification")
    with torch.no_grad():
        next(broken.parameters()).fill_(torch.nan)
    with pytest.raises(NonFiniteLoss):
        trained(broken, data(), observers=[watching])
    assert watching.states == ["completed", "failed"]


def test_the_callers_settings_of_torch_are_left_alone() -> None:
    """Who wants deterministic algorithms keeps them inside, too."""
    seen: list[bool] = []

    class Looking(Watching):
        def evaluated(self, record: object) -> None:  # noqa: ARG002
            seen.append(torch.are_deterministic_algorithms_enabled())

    torch.use_deterministic_algorithms(True)
    try:
        trained(tiny.task_of("classification"), data(), observers=[Looking()])
    finally:
        torch.use_deterministic_algorithms(False)
    assert set(seen) == {True}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 1}, "not both: got 1 epochs and 14 steps"),
        ({"steps": None}, "a budget is needed"),
        ({"batch_size": 23}, "batch_size=23 is larger than the training part"),
        ({"device": "gpu"}, "must be auto, cpu, cuda"),
        ({"precision": "fp8"}, "precision must be one of"),
        ({"clip_norm": 0}, "clip_norm must be positive"),
        ({"micro_batches": 0}, "micro_batches must be at least 1"),
        ({"best": {"loss": "min"}, "valid": None}, "is measured on the validation part"),
    ],
)
def test_settings_that_do_not_fit_are_refused_before_the_first_step(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    task = tiny.task_of("classification")
    before = {name: tensor.clone() for name, tensor in task.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        trained(task, data(), folder=tmp_path, **settings)
    assert all(torch.equal(tensor, before[name]) for name, tensor in task.state_dict().items())
    assert list(tmp_path.iterdir()) == []


def test_one_optimizer_is_not_enough_for_two_networks() -> None:
    task = tiny.task_of("gan")
    with pytest.raises(ValueError, match="one optimizer is needed for each of generator, discriminator; got generator"):
        train(task, torch.optim.Adam(task.parameters()), data(), steps=2, batch_size=5)


def test_a_task_with_nothing_to_train_is_refused() -> None:
    task = Classification(nn.Flatten(), nn.CrossEntropyLoss())
    with pytest.raises(ValueError, match="Classification has nothing to train"):
        train(task, torch.optim.SGD([nn.Parameter(torch.ones(1))]), data(), steps=2, batch_size=5)


def test_messages_name_arguments_not_settings_of_a_configuration() -> None:
    """There is no ``trainer.`` here."""
    with pytest.raises(ValueError, match="batch_size") as caught:
        trained(tiny.task_of("classification"), data(), batch_size=23)
    assert "trainer." not in str(caught.value)
