"""Images: the grids, when they come, and that the task is left as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from runner.batch import Batch
from runner.observers import EvaluationRecord, Images, Outcome, RunInfo
from runner.observers.images import write_png
from runner.observers.pictures import Pictures, grid, to_pixels
from runner.plan import Plan
from runner.tasks.task import Task

PLAN = Plan.of(steps_per_epoch=10, steps=45)


class Constant(Task):
    """Draws a picture of the value 1, as it sees values, of each sample."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Linear(1, 1)
        self.asked: list[tuple[bool, bool, int]] = []

    def pictures(self, batch: Batch) -> dict[str, Tensor]:
        self.asked.append((self.training, torch.is_inference_mode_enabled(), len(batch["x"])))
        torch.rand(7)
        return {"ones": torch.ones_like(batch["x"])}


def show(images: Images, folder: Path, task: Task, *, sample: Batch, steps: list[int]) -> None:
    images.started(RunInfo("a__0", folder, task, PLAN, 0, sample=sample, mean=(0.2,), std=(0.5,)))
    for step in steps:
        images.evaluated(EvaluationRecord(step, PLAN.epoch(step), {}, {}, {}, 0.0, 0.0))


def test_a_grid_at_each_evaluation_in_the_pixels_of_the_data(tmp_path: Path) -> None:
    task = Constant()
    show(Images(count=3), tmp_path, task, sample={"x": torch.zeros(5, 1, 4, 6)}, steps=[10, 45])
    assert task.asked == [(False, True, 3)] * 2
    assert {path.name for path in (tmp_path / "images").iterdir()} == {
        "ones_step0000010.png",
        "ones_step0000045.png",
    }
    pixels = np.asarray(Image.open(tmp_path / "images" / "ones_step0000010.png"))
    assert pixels.shape == (2 * 5 + 1, 2 * 7 + 1)
    assert pixels[1:5, 1:7].tolist() == [[round(255 * 0.7)] * 6] * 4  # 1 * std + mean
    assert set(pixels[0].tolist()) == {128}


@pytest.mark.parametrize(("count", "asked"), [(3, [3]), (2, [3, 2])])
def test_several_observers_of_a_run_share_what_was_drawn(tmp_path: Path, count: int, asked: list[int]) -> None:
    task = Constant()
    run = RunInfo("a__0", tmp_path, task, PLAN, 0, sample={"x": torch.zeros(5, 1, 4, 6)})
    both = [Pictures(count=3), Pictures(count=count)]
    for pictures in both:
        pictures.started(run)
    for step in (10, 20):
        first, second = (pictures.drawn(step)["ones"] for pictures in both)
        assert torch.equal(first, second) == (count == 3)
    assert [samples for _, _, samples in task.asked] == asked * 2


def test_task_and_generator_are_left_as_they_were(tmp_path: Path) -> None:
    class Fails(Constant):
        def pictures(self, batch: Batch) -> dict[str, Tensor]:
            super().pictures(batch)
            raise RuntimeError("no picture")

    task = Fails().train()
    task.model.eval()
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="no picture"):
        show(Images(), tmp_path, task, sample={"x": torch.zeros(2, 1, 4, 4)}, steps=[10])
    assert torch.equal(before, torch.get_rng_state())
    assert (task.training, task.model.training) == (True, False)


def test_the_first_and_every_second(tmp_path: Path) -> None:
    images = Images(every_evaluations=2)
    show(images, tmp_path, Constant(), sample={"x": torch.zeros(1, 1, 2, 2)}, steps=[10, 20, 30, 40, 45])
    steps = sorted(int(path.stem[-7:]) for path in (tmp_path / "images").iterdir())
    assert steps == [10, 20, 40]


def test_without_a_sample_or_pictures_nothing_is_written(tmp_path: Path) -> None:
    show(Images(), tmp_path, Constant(), sample=None, steps=[10])
    show(Images(), tmp_path, Task(), sample=torch.zeros(1, 1, 2, 2), steps=[10])
    assert list(tmp_path.iterdir()) == []


def test_square_tables_of_a_completed_run(tmp_path: Path) -> None:
    images = Images()
    images.started(RunInfo("a__0", tmp_path, Task(), PLAN, 0, class_names=("a", "b")))
    tables = {"test/confusion_matrix": torch.eye(2), "test/row": torch.ones(2)}
    images.finished(Outcome("completed", 45, {}, tables=tables))
    assert [path.name for path in (tmp_path / "images").iterdir()] == ["test_confusion_matrix.png"]


@pytest.mark.parametrize("key", ["count", "every_evaluations"])
def test_a_number_below_1_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=f"{key} of Images must be at least 1, got 0"):
        Images(**{key: 0})


def test_grid_puts_each_image_in_its_place() -> None:
    images = torch.arange(1.0, 6.0).reshape(5, 1, 1, 1).expand(5, 3, 2, 2)
    picture = grid(images)
    assert picture.shape == (3, 2 * 3 + 1, 3 * 3 + 1)
    assert picture[0, 1::3, 1::3].tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 0.5]]
    assert picture[0, 2::3, 2::3].tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 0.5]]
    assert picture[:, ::3].eq(0.5).all()
    assert picture[:, :, ::3].eq(0.5).all()
    assert grid(torch.zeros(1, 1, 2, 2)).shape == (1, 4, 4)


def test_pixels_are_clamped_and_other_channels_left_alone() -> None:
    images = torch.tensor([-9.0, 0.0, 9.0, float("nan")]).reshape(4, 1, 1, 1)
    assert to_pixels(images, mean=(0.5,), std=(0.25,)).flatten().tolist() == [0.0, 0.5, 1.0, 0.0]
    assert to_pixels(images, mean=(0.5,) * 3, std=(0.25,) * 3).flatten().tolist() == [0.0, 0.0, 1.0, 0.0]


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "L"), (3, "RGB"), (5, "RGB")])
def test_png_modes(tmp_path: Path, channels: int, mode: str) -> None:
    write_png(tmp_path / "a.png", torch.rand(channels, 3, 5))
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == mode
        assert image.size == (5, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_uint8_is_shown_as_it_is() -> None:
    colours = torch.tensor([[[[0, 51]], [[255, 102]], [[0, 0]]]], dtype=torch.uint8)
    assert torch.equal(to_pixels(colours, mean=(0.5,) * 3, std=(0.5,) * 3), colours / 255)
