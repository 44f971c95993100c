"""TensorBoard: read back with its own reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch import Tensor, nn

from runner.losses.terms import total
from runner.observers import EvaluationRecord, Outcome, RunInfo, StepRecord, TensorBoard
from runner.plan import Plan
from runner.tasks.task import Task

PLAN = Plan.of(steps_per_epoch=3, epochs=4)
HPARAMS = {"optimizer.lr": 0.1, "model.sizes": [1, 2], "model._target_": "VGG", "trainer.tf32": True, "resume": None}


class One(Task):
    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Linear(2, 2)


def write(
    folder: Path, first_step: int, last_step: int, *, state: str = "completed", observer: TensorBoard | None = None
) -> None:
    observer = observer or TensorBoard()
    observer.started(RunInfo("a__0", folder, One(), PLAN, first_step, config_text="seed: 0\nlr: 0.1", hparams=HPARAMS))
    for step in range(first_step + 1, last_step + 1):
        epoch, rates = PLAN.epoch(step), {"lr": 0.1 / step}
        observer.logged(StepRecord(step, epoch, {"train/loss": 1 / step}, rates, 10.0, 1.0, 0.5))
        if PLAN.evaluates(step):
            metrics = {"train/loss": 2 / step, "valid/accuracy": step / 12}
            observer.evaluated(EvaluationRecord(step, epoch, metrics, {}, rates, 10.0, 1.0))
    observer.finished(Outcome(state, last_step, {"test/accuracy": 0.75} if state == "completed" else {}))


def read(folder: Path) -> Any:
    reader = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0, "histograms": 0, "tensors": 0})
    return reader.Reload()


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    reader = read(folder)
    return {tag: [(event.step, event.value) for event in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}


def test_everything_reads_back(tmp_path: Path) -> None:
    write(tmp_path, 0, 12)
    seen = scalars(tmp_path)
    assert set(seen) == {
        *("train/loss_step", "train/loss", "valid/accuracy", "test/accuracy"),
        *("lr", "samples_per_s", "memory_gib"),
    }
    assert [step for step, _ in seen["train/loss_step"]] == list(range(1, 13))
    assert [step for step, _ in seen["valid/accuracy"]] == [3, 6, 9, 12]
    assert seen["test/accuracy"] == [(12, 0.75)]
    assert seen["memory_gib"][0] == (1, 0.5)
    reader = read(tmp_path)
    (text,) = reader.Tensors("config/text_summary")
    assert text.tensor_proto.string_val[0] == b"```yaml\nseed: 0\nlr: 0.1\n```"
    assert {path.name for path in tmp_path.iterdir()} == {"tensorboard"}
    assert all(path.is_file() for path in (tmp_path / "tensorboard").iterdir())


def test_hparams_of_a_completed_run(tmp_path: Path) -> None:
    write(tmp_path, 0, 12)
    content = read(tmp_path).PluginTagToContent("hparams")
    hparams = HParamsPluginData.FromString(content["_hparams_/session_start_info"]).session_start_info.hparams
    assert hparams["optimizer.lr"].number_value == 0.1
    assert hparams["model.sizes"].string_value == "[1, 2]"
    assert hparams["model._target_"].string_value == "VGG"
    assert hparams["trainer.tf32"].string_value == "True"
    assert hparams["resume"].string_value == "None"


@pytest.mark.parametrize("state", ["failed", "interrupted"])
def test_only_a_completed_run_has_hparams(tmp_path: Path, state: str) -> None:
    write(tmp_path, 0, 4, state=state)
    reader = read(tmp_path)
    assert "test/accuracy" not in reader.Tags()["scalars"]
    with pytest.raises(KeyError):
        reader.PluginTagToContent("hparams")


@pytest.mark.parametrize("first_step", [0, 5, 6])
def test_a_resumed_run_reads_as_an_uninterrupted_one(tmp_path: Path, first_step: int) -> None:
    write(tmp_path / "whole", 0, 12)
    write(tmp_path / "broken", 0, 8, state="interrupted")
    write(tmp_path / "broken", first_step, 12)
    assert scalars(tmp_path / "broken") == scalars(tmp_path / "whole")
    assert len(read(tmp_path / "broken").Tensors("config/text_summary")) == 1


def test_starts_in_the_same_second_are_read_in_their_order_whatever_a_killed_one_left_half_written(
    tmp_path: Path,
) -> None:
    """As when a script resumes a run that was killed at once: event files are read in the order of their names."""
    write(tmp_path / "whole", 0, 12)
    write(tmp_path / "broken", 0, 8, state="interrupted")
    (events,) = (tmp_path / "broken/tensorboard").iterdir()
    events.write_bytes(events.read_bytes()[:-9])
    write(tmp_path / "broken", 6, 12)
    assert len({path.name.split(".")[3] for path in (tmp_path / "broken/tensorboard").iterdir()}) == 2
    assert scalars(tmp_path / "broken") == scalars(tmp_path / "whole")


def test_events_are_on_disk_before_the_end(tmp_path: Path) -> None:
    observer = TensorBoard()
    observer.started(RunInfo("a__0", tmp_path, One(), PLAN, 0))
    observer.logged(StepRecord(1, 0.3, {"train/loss": 1.0}, {}, 10.0, 1.0, None))
    assert scalars(tmp_path)["train/loss_step"] == [(1, 1.0)]
    observer.finished(Outcome("failed", 1, {}))


@pytest.mark.parametrize("histograms", [True, "weights", ["weights"]])
def test_histograms_of_weights_when_asked_for(tmp_path: Path, histograms: Any) -> None:
    torch.manual_seed(0)
    write(tmp_path / "with", 0, 3, observer=TensorBoard(histograms=histograms))
    assert read(tmp_path / "with").Tags()["histograms"] == ["weights/model.weight", "weights/model.bias"]
    if histograms is True:
        write(tmp_path / "without", 0, 3)
        assert read(tmp_path / "without").Tags()["histograms"] == []


def gradients_at(step: int, kind: str) -> dict[str, Tensor]:
    """Worked out without an observer: clipped, as the optimizer gets them in the step that makes it ``step``."""
    made = tiny.session(kind)
    made.plan = made.plan.until(step - 1)
    made.train()
    batch = next(made.data.train(step - 1))
    made.randomness.reseed("step", step - 1)
    found: dict[str, Tensor] = {}
    for name, parts in made.precision.losses(made.task, batch):
        update, network = made.updates[name], made.task.networks()[name]
        (part,) = parts
        torch.autograd.backward(total(part), inputs=update.parameters)
        nn.utils.clip_grad_norm_(update.parameters, 1.0)
        of_network = {weight: weight.grad.clone() for weight in network.parameters() if weight.grad is not None}
        found |= {name: of_network[weight] for name, weight in made.task.named_parameters() if weight in of_network}
        update.optimizer.step()
        update.optimizer.zero_grad()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["classification", "gan"])
def test_histograms_of_gradients_are_those_of_the_step_before_the_evaluation(tmp_path: Path, kind: str) -> None:
    made = tiny.session(kind, folder=tmp_path, observers=[TensorBoard(histograms=["gradients"])])
    made.train()
    made.observers.finished(Outcome("failed", 14, {}))
    reader, whole = read(tmp_path), gradients_at(10, kind)
    assert reader.Tags()["histograms"] == [f"gradients/{name}" for name in whole]
    assert whole.keys() == {name for name, _ in made.task.named_parameters()}
    for name, gradient in whole.items():
        shown = {event.step: event.histogram_value for event in reader.Histograms(f"gradients/{name}")}
        assert list(shown) == [5, 10, 14]
        assert (shown[10].min, shown[10].max, shown[10].num) == (gradient.min(), gradient.max(), gradient.numel())
        assert shown[10].sum_squares == pytest.approx(gradient.double().square().sum().item())


def test_histograms_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="must be false, weights, gradients or a list of these, got biases"):
        TensorBoard(histograms="biases")


@pytest.mark.slow
@pytest.mark.parametrize("first_step", [12, 9, 6])
def test_final_scores_are_those_of_the_last_end(tmp_path: Path, first_step: int) -> None:
    """Killed after them and before its manifest, or extended: the run has its scores once, in their last place."""
    write(tmp_path / "whole", 0, 12)
    write(tmp_path / "again", 0, max(first_step, 9))
    write(tmp_path / "again", first_step, 12)
    assert scalars(tmp_path / "again") == scalars(tmp_path / "whole")


class Draws(One):
    def pictures(self, batch: Tensor) -> dict[str, Tensor]:
        return {"ones": torch.ones_like(batch)}


@pytest.mark.parametrize(("pictures", "shown"), [(2, [3, 9]), (0, [])])
def test_pictures_and_tables(tmp_path: Path, pictures: int, shown: list[int]) -> None:
    observer = TensorBoard(pictures=pictures, every_evaluations=3)
    observer.started(RunInfo("a__0", tmp_path, Draws(), PLAN, 0, sample=torch.zeros(5, 1, 4, 4)))
    for step in (3, 6, 9, 12):
        observer.evaluated(EvaluationRecord(step, PLAN.epoch(step), {}, {}, {}, 10.0, 1.0))
    observer.finished(Outcome("completed", 12, {}, tables={"test/confusion_matrix": torch.eye(2)}))
    reader = read(tmp_path)
    drawn = {tag: [event.step for event in reader.Images(tag)] for tag in reader.Tags()["images"]}
    assert drawn == {**({"pictures/ones": shown} if shown else {}), "test/confusion_matrix": [12]}


def test_pictures_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="got pictures=-1 and every_evaluations=1; set pictures=0 for none"):
        TensorBoard(pictures=-1)
