"""CsvFiles: what is written, and what a resumed run keeps."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from runner.observers import CsvFiles, EvaluationRecord, Outcome, RunInfo, StepRecord
from runner.plan import Plan
from runner.tasks.task import Task

PLAN = Plan.of(steps_per_epoch=3, epochs=4)
THIRD = 1 / 3


def run_info(folder: Path, first_step: int = 0) -> RunInfo:
    return RunInfo(name="a__0", folder=folder, task=Task(), plan=PLAN, first_step=first_step)


def tell(files: CsvFiles, first_step: int, last_step: int, *, extra: dict[str, float] | None = None) -> None:
    for step in range(first_step + 1, last_step + 1):
        epoch = PLAN.epoch(step)
        files.logged(StepRecord(step, epoch, {"train/loss": THIRD / step}, {"lr": 1e-17}, 10.5, 2.5, None))
        if PLAN.evaluates(step):
            metrics = {"valid/loss": THIRD * step, **(extra or {})}
            files.evaluated(EvaluationRecord(step, epoch, metrics, {}, {"lr": 1e-17}, 10.5, 2.5))


def write(folder: Path, first_step: int, last_step: int) -> None:
    folder.mkdir(exist_ok=True)
    files = CsvFiles()
    files.started(run_info(folder, first_step))
    tell(files, first_step, last_step)
    files.finished(Outcome("completed", last_step, {}))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_rows_are_on_disk_at_once_and_read_back_exactly(tmp_path: Path) -> None:
    files = CsvFiles()
    files.started(run_info(tmp_path))
    tell(files, 0, 3)
    history, steps = rows(tmp_path / "history.csv"), rows(tmp_path / "steps.csv")
    files.finished(Outcome("interrupted", 3, {}))
    assert list(history[0]) == ["step", "epoch", "valid/loss", "lr", "samples_per_s", "warmup_s", "elapsed_s"]
    assert list(steps[0]) == ["step", "epoch", "train/loss", "lr", "samples_per_s", "warmup_s", "elapsed_s"]
    assert [row["step"] for row in steps] == ["1", "2", "3"]
    assert [float(row["epoch"]) for row in steps] == [THIRD, 2 / 3, 1.0]
    assert float(steps[1]["train/loss"]) == THIRD / 2
    assert float(history[0]["valid/loss"]) == THIRD * 3
    assert float(history[0]["lr"]) == 1e-17


def test_a_resumed_run_leaves_the_lines_of_an_uninterrupted_one(tmp_path: Path) -> None:
    write(tmp_path / "whole", 0, 12)
    broken = tmp_path / "broken"
    write(broken, 0, 8)
    with (broken / "steps.csv").open("a") as file:
        file.write("9,3.0,0.03")  # killed while it wrote
    with (broken / "history.csv").open("a") as file:
        file.write("9,3.0\n")
    write(broken, 5, 12)
    for name in ("history.csv", "steps.csv"):
        assert (broken / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert {path.name for path in broken.iterdir()} == {"history.csv", "steps.csv"}


@pytest.mark.parametrize("last", ["6,2.0,0.5,0.1,1.0,2.", "6,2.0\n", "step,epo"])
def test_a_last_line_that_was_not_finished_is_dropped(tmp_path: Path, last: str) -> None:
    path = tmp_path / "history.csv"
    header = "" if last.startswith("step") else "step,epoch,valid/loss,lr,samples_per_s,elapsed_s\n"
    path.write_text(header + last)
    write(tmp_path, 6, 9)
    assert [row["step"] for row in rows(path)] == ["9"]


def test_a_run_from_step_0_starts_anew(tmp_path: Path) -> None:
    write(tmp_path, 0, 12)
    write(tmp_path, 0, 3)
    assert [row["step"] for row in rows(tmp_path / "history.csv")] == ["3"]
    assert len(rows(tmp_path / "steps.csv")) == 3


def test_damage_in_the_middle_is_said(tmp_path: Path) -> None:
    write(tmp_path, 0, 6)
    path = tmp_path / "steps.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:2], "garbage\n", *lines[2:]]))
    with pytest.raises(ValueError, match=r"steps\.csv is damaged: line 3 has no step, got 'garbage'"):
        CsvFiles().started(run_info(tmp_path, first_step=6))


def test_metrics_that_come_later_get_a_column(tmp_path: Path) -> None:
    files = CsvFiles()
    files.started(run_info(tmp_path))
    tell(files, 0, 3)
    tell(files, 3, 6, extra={"valid/late": math.inf})
    tell(files, 6, 9)
    files.finished(Outcome("completed", 9, {}))
    assert [row["valid/late"] for row in rows(tmp_path / "history.csv")] == ["", "inf", ""]
    assert [row["step"] for row in rows(tmp_path / "history.csv")] == ["3", "6", "9"]


def test_what_was_not_measured_is_empty_and_memory_has_a_column_on_a_gpu(tmp_path: Path) -> None:
    files = CsvFiles()
    files.started(run_info(tmp_path))
    files.logged(StepRecord(1, THIRD, {"train/loss": 1.0}, {"lr": 0.1}, None, 61.0, 2.5, warmup_s=60.0))
    files.evaluated(EvaluationRecord(3, 1.0, {"valid/loss": 1.0}, {}, {"lr": 0.1}, 10.5, 62.0, 2.75))
    files.finished(Outcome("completed", 3, {}))
    (step,), (evaluation,) = rows(tmp_path / "steps.csv"), rows(tmp_path / "history.csv")
    assert [step[name] for name in ("samples_per_s", "warmup_s", "memory_gib")] == ["", "60.0", "2.5"]
    assert [evaluation[name] for name in ("samples_per_s", "warmup_s", "memory_gib")] == ["10.5", "0.0", "2.75"]
