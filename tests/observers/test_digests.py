"""``digests.jsonl``: what it holds, what a resumed run keeps, and what one wrong bit does."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from torch import nn

from runner import digest
from runner.observers.digests import NAME, SHORT, Digests, read
from runner.observers.observer import EvaluationRecord, Outcome, RunInfo
from runner.plan import Plan
from runner.tasks.task import Task

PLAN = Plan.of(steps_per_epoch=3, epochs=4)


class Small(Task):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.model = nn.Sequential(nn.Conv2d(2, 2, 2), nn.BatchNorm2d(2))
        self.register_buffer("mask", torch.tensor([True, True, False]))
        self.register_buffer("phase", torch.tensor([3 + 4j]))


def started(folder: Path, first_step: int = 0, task: Task | None = None) -> Digests:
    files = Digests()
    files.started(RunInfo("a__0", folder, task or Small(), PLAN, first_step))
    return files


def evaluate(files: Digests, step: int, **metrics: float) -> None:
    files.evaluated(EvaluationRecord(step, PLAN.epoch(step), metrics or {"valid/loss": 1 / step}, {}, {}, 1.0, 1.0))


def test_a_line_for_the_initial_weights_and_one_for_each_evaluation(tmp_path: Path) -> None:
    task = Small()
    files = started(tmp_path, task=task)
    (initial,) = read(tmp_path)
    assert (initial["step"], initial["metrics"]) == (0, {})
    assert initial["weights_sha256"] == digest.of_weights(task)
    with torch.no_grad():
        task.get_parameter("model.0.weight").fill_(2.0)
    evaluate(files, 3, **{"valid/loss": 1 / 3})
    first, second = read(tmp_path)  # on disk at once
    files.finished(Outcome("completed", 3, {}))
    assert first == initial
    assert (second["step"], second["metrics"]) == (3, {"valid/loss": 1 / 3})
    assert second["weights_sha256"] == digest.of_weights(task) != initial["weights_sha256"]
    assert second["metrics_sha256"] == digest.of_metrics({"valid/loss": 1 / 3})
    changed = {name for name in first["tensors"] if first["tensors"][name] != second["tensors"][name]}
    assert changed == {"model.0.weight"}


def test_each_tensor_has_the_beginning_of_its_digest_and_its_norm(tmp_path: Path) -> None:
    task = Small()
    started(tmp_path, task=task)
    (line,) = read(tmp_path)
    assert list(line["tensors"]) == list(digest.weights(task))
    for name, tensor in digest.weights(task).items():
        short, norm = line["tensors"][name]
        assert short == digest.of_tensor(tensor)[:SHORT]
        assert norm == pytest.approx(math.sqrt(sum(abs(value) ** 2 for value in tensor.flatten().tolist())))
    assert line["tensors"]["mask"][1] == math.sqrt(2)
    assert line["tensors"]["phase"][1] == 5.0
    assert line["tensors"]["model.1.num_batches_tracked"][1] == 0.0


def test_norms_are_sums_in_double_precision(tmp_path: Path) -> None:
    """Which fp16 would overflow."""
    task = Task()
    task.register_buffer("large", torch.full((4,), 60000.0, dtype=torch.float16))
    started(tmp_path, task=task)
    assert read(tmp_path)[0]["tensors"]["large"][1] == 2 * 60000 - 2 * 60000 % 32


@pytest.mark.parametrize("name", ["model.0.weight", "model.1.running_mean", "mask"])
def test_one_wrong_bit_is_seen_where_it_is(tmp_path: Path, name: str) -> None:
    lines = []
    for folder, wrong in ((tmp_path / "a", False), (tmp_path / "b", True)):
        folder.mkdir()
        task = Small()
        with torch.no_grad():
            if wrong:
                digest.weights(task)[name].view(-1)[:1].view(torch.uint8)[0] ^= 1
        started(folder, task=task)
        lines += read(folder)
    one, other = lines
    assert one["weights_sha256"] != other["weights_sha256"]
    assert {key for key in one["tensors"] if one["tensors"][key][0] != other["tensors"][key][0]} == {name}


def test_the_layout_in_memory_does_not_show(tmp_path: Path) -> None:
    for name, layout in (("a", torch.contiguous_format), ("b", torch.channels_last)):
        (tmp_path / name).mkdir()
        started(tmp_path / name, task=Small().to(memory_format=layout))
    assert read(tmp_path / "a") == read(tmp_path / "b")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_metrics_that_are_not_finite_read_back(tmp_path: Path, value: float) -> None:
    evaluate(started(tmp_path), 3, **{"valid/loss": value})
    assert str(read(tmp_path)[1]["metrics"]["valid/loss"]) == str(value)


@pytest.mark.parametrize("torn", ["", '{"step": 9, "weig', '{"step": 12}'])
@pytest.mark.parametrize(("first_step", "kept"), [(9, [0, 3, 6, 9]), (7, [0, 3, 6]), (6, [0, 3, 6]), (2, [0])])
def test_a_resumed_run_drops_what_comes_after_its_step(
    tmp_path: Path, first_step: int, kept: list[int], torn: str
) -> None:
    files = started(tmp_path)
    for step in (3, 6, 9):
        evaluate(files, step)
    before = (tmp_path / NAME).read_text().splitlines(keepends=True)
    with (tmp_path / NAME).open("a") as file:
        file.write(torn)
    files = started(tmp_path, first_step)
    assert (tmp_path / NAME).read_text() == "".join(before[: len(kept)])  # to the byte
    assert [line["step"] for line in read(tmp_path)] == kept
    evaluate(files, 12)
    assert [line["step"] for line in read(tmp_path)] == [*kept, 12]
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_a_run_from_step_0_starts_anew(tmp_path: Path) -> None:
    evaluate(started(tmp_path), 3)
    started(tmp_path)
    assert [line["step"] for line in read(tmp_path)] == [0]


def test_reading_leaves_out_a_line_that_does_not_end(tmp_path: Path) -> None:
    assert read(tmp_path) == []
    started(tmp_path)
    with (tmp_path / NAME).open("a") as file:
        file.write('{"step": 3')
    assert [line["step"] for line in read(tmp_path)] == [0]


@pytest.mark.parametrize("line", ["garbage", "[]", "{}", "\0\0\0"])
def test_damage_in_the_middle_is_said(tmp_path: Path, line: str) -> None:
    evaluate(started(tmp_path), 3)
    first, second = (tmp_path / NAME).read_text().splitlines()
    (tmp_path / NAME).write_text(f"{first}\n{line}\n{second}\n")
    for reader in (lambda: read(tmp_path), lambda: started(tmp_path, 3)):
        with pytest.raises(ValueError, match=r"line 2 of .*digests\.jsonl is damaged"):
            reader()


def test_a_run_without_a_folder_cannot_have_them() -> None:
    with pytest.raises(ValueError, match="needs a run with a folder"):
        Digests().started(RunInfo("a__0", None, Small(), PLAN, 0))


def lines_of(folder: Path, *stops: int) -> list[dict[str, Any]]:
    """The lines of a training of 14 steps that was interrupted at ``stops``."""
    for stop in (*stops, None):
        made = tiny.session(folder=folder, observers=[Digests()])
        made.plan = made.plan.until(stop)
        made.train()
    return read(folder)


def test_an_interrupted_training_leaves_the_lines_of_an_uninterrupted_one(tmp_path: Path) -> None:
    for name in ("whole", "broken", "other"):
        (tmp_path / name).mkdir()
    whole = lines_of(tmp_path / "whole")
    assert [line["step"] for line in whole] == [0, 5, 10, 14]
    assert len({line["weights_sha256"] for line in whole}) == 4
    assert lines_of(tmp_path / "broken", 1, 5, 8) == whole
    assert json.loads((tmp_path / "broken" / NAME).read_text().splitlines()[0])["step"] == 0
