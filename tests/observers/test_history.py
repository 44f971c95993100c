"""Learning curves at the end of a run: which there are, what is in them, and when there are none."""

from __future__ import annotations

import json
import logging
import math
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from runner import drawing
from runner.drawing import COLOURS
from runner.observers import EvaluationRecord, HistoryPictures, Outcome, RunInfo
from runner.observers.history_pictures import DOTTED, History, curves, picture, pictures
from runner.plan import Plan
from runner.tasks.task import Task

PLAN = Plan.of(steps_per_epoch=4, epochs=5)
DASHES = "stroke-dasharray"
needs_matplotlib = pytest.mark.skipif(not drawing.available(), reason="pictures need runner[report]")


def families(*names: str) -> dict[str, list[str]]:
    """What is in each picture of a run that measured ``names``, by the labels of its curves."""
    found = curves({1: dict.fromkeys(names, 0.5), 2: dict.fromkeys(names, 0.25)})
    return {metric: [curve.label for curve in drawn] for metric, drawn in found.items()}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (
            ["valid/accuracy", "train/loss", "valid/loss"],
            {"loss": ["train", "valid"], "accuracy": ["valid"]},
        ),
        (
            ["train/generator_loss", "train/discriminator_loss", "valid/real_score", "valid/fake_score"],
            {"loss": ["train generator", "train discriminator"], "score": ["valid real", "valid fake"]},
        ),
        (
            ["train/loss", "valid/loss", "valid/near/loss", "valid/far/loss", "valid/near/top_5", "valid/top_5"],
            {"loss": ["train", "valid", "valid near", "valid far"], "top_5": ["valid near", "valid"]},
        ),
        (
            ["train/dice_loss", "train/kl", "valid/kl", "valid/dice", "valid/dice_disc"],
            {"loss": ["train dice"], "kl": ["train", "valid"], "dice": ["valid", "valid disc"]},
        ),
        (
            ["valid/map", "valid/map_50", "valid/a/map_50", "valid/token_accuracy", "lr", "test/loss"],
            {"map": ["valid", "valid 50", "valid a 50"], "token_accuracy": ["valid"]},
        ),
    ],
)
def test_what_belongs_together_is_in_one_picture(names: list[str], expected: dict[str, list[str]]) -> None:
    assert families(*names) == expected


def test_what_is_no_number_is_no_point() -> None:
    found = curves({1: {"valid/loss": math.nan, "valid/iou": math.inf}, 2: {"valid/loss": 0.5, "valid/iou": math.nan}})
    assert {metric: drawn[0].points for metric, drawn in found.items()} == {"loss": {2: 0.5}}


def test_one_evaluation_is_no_curve() -> None:
    assert pictures(History({4: {"valid/loss": 0.5}})) == {}


@pytest.mark.slow
@needs_matplotlib
def test_a_picture_has_its_curves_the_best_evaluation_and_the_test_score() -> None:
    scores = {step: {"train/loss": 1 / step, "valid/loss": 2 / step} for step in (4, 8, 12)}

    def drawn(history: History) -> str:
        svg = picture("loss", curves(history.scores)["loss"], history)
        ET.fromstring(svg)
        return svg

    plain = drawn(History(scores, 4))
    assert all(f"stroke: {colour.lower()}" in plain for colour in COLOURS[:2])
    assert plain == drawn(History(scores, 4)), "the same numbers make the same file"
    ringed = drawn(History(scores, 4, best={"valid/loss": 0.25}))
    tested = drawn(History(scores, 4, test={"test/loss": 0.2}))
    assert ("<!-- best 0.25 at 2 -->" in plain, "<!-- best 0.25 at 2 -->" in ringed) == (False, True)
    assert ("<!-- test 0.2 -->" in plain, "<!-- test 0.2 -->" in tested) == (False, True)
    assert ("<!-- epoch -->" in plain, "<!-- step -->" in drawn(History(scores))) == (True, True)


def record(step: int, loss: float) -> EvaluationRecord:
    return EvaluationRecord(step, PLAN.epoch(step), {"valid/loss": loss}, {"valid/loss": loss}, {}, 1.0, 1.0)


def run_info(folder: Path | None, first_step: int = 0) -> RunInfo:
    return RunInfo(name="a__0", folder=folder, task=Task(), plan=PLAN, first_step=first_step)


@pytest.mark.slow
@needs_matplotlib
def test_a_run_that_goes_on_draws_all_of_it(tmp_path: Path) -> None:
    """To the byte what an uninterrupted one draws; and an interrupted run draws what it has."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder, stops, first in ((whole, 16, 0), (broken, 12, 0), (broken, 16, 8)):
        observer = HistoryPictures()
        observer.started(run_info(folder, first))
        for step in range(first + 4, stops + 1, 4):
            observer.evaluated(record(step, 1 / step))
        folder.mkdir(exist_ok=True)
        lines = [{"step": step, "metrics": {"valid/loss": 1 / step} if step else {}} for step in range(0, stops + 1, 4)]
        (folder / "digests.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        observer.finished(Outcome("completed" if stops == 16 else "interrupted", stops, {}))
        assert [path.name for path in (folder / "history").iterdir()] == ["loss.svg"]
        if stops == 12:
            stopped = (folder / "history/loss.svg").read_text()
    assert (broken / "history/loss.svg").read_text() == (whole / "history/loss.svg").read_text() != stopped


def test_without_matplotlib_the_log_says_so_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(drawing, "available", lambda: False)
    observer = HistoryPictures()
    with caplog.at_level(logging.INFO):
        observer.started(run_info(tmp_path))
    for step in (4, 8):
        observer.evaluated(record(step, 0.5))
    observer.finished(Outcome("completed", 8, {}))
    (message,) = caplog.records
    assert (message.levelname, "pip install 'runner[report]'" in message.getMessage()) == ("INFO", True)
    assert list(tmp_path.iterdir()) == []


def test_it_needs_a_folder() -> None:
    with pytest.raises(ValueError, match="HistoryPictures needs a run with a folder"):
        HistoryPictures().started(run_info(None))


@needs_matplotlib
def test_of_many_classes_some_are_grey() -> None:
    names = ["valid/iou", *(f"valid/iou_{name}" for name in range(9))]
    history = History({step: dict.fromkeys(names, 0.5) for step in range(DOTTED + 1)})
    svg = picture("iou", curves(history.scores)["iou"], history)
    assert f"<!-- {1 + 9 - len(COLOURS)} others -->" in svg
    assert DASHES not in svg
