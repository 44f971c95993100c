"""Pictures of scores."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import tiny
import torch
from PIL import Image

from runner.observers import NoveltyPictures, Outcome, RunInfo
from runner.plan import Plan
from runner.tasks import Novelty, Task


def finished(folder: Path, task: Task, state: str = "completed") -> list[str]:
    observer = NoveltyPictures()
    observer.started(RunInfo("run", folder, task, Plan.of(1, steps=1), 0))
    observer.finished(Outcome(state, 1, {}))
    return sorted(file.name for file in folder.glob("images/*"))


def ranked(*novel: bool) -> Novelty:
    task = tiny.task_of("novelty")
    assert isinstance(task, Novelty)
    scores = torch.linspace(0, 1, len(novel))
    task.ranked.extend((score.view(1), torch.tensor([kind])) for score, kind in zip(scores, novel, strict=True))
    return task


@pytest.mark.slow
def test_scores_and_curve_are_drawn(tmp_path: Path) -> None:
    names = finished(tmp_path, ranked(False, True, False, True))
    assert names == ["novelty_roc.png", "novelty_scores.png"]
    for name in names:
        picture = Image.open(tmp_path / "images" / name).convert("L")
        low, high = picture.getextrema()
        assert (low, high) != (high, low), "something is drawn"


@pytest.mark.slow
def test_one_kind_alone_has_no_curve(tmp_path: Path) -> None:
    assert finished(tmp_path, ranked(False, False)) == ["novelty_scores.png"]


def test_nothing_is_drawn_of_what_does_not_rank_or_did_not_end(tmp_path: Path) -> None:
    assert finished(tmp_path, tiny.task_of("classification")) == []
    assert finished(tmp_path, ranked(False, True), "interrupted") == []


def test_without_matplotlib_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"matplotlib; pip install 'runner\[report\]', or leave novelty out of logger"):
        NoveltyPictures()
