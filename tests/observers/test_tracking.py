"""What trackers are told, in which order, and what becomes of it while they are away."""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import notebook
import pytest
import tiny

from runner.observers import sending, tracking
from runner.observers.observer import EvaluationRecord, Outcome, RunInfo, StepRecord
from runner.observers.outbox import Begin, Delivery, End, File, Outbox, Points, messages, waiting
from runner.observers.sending import Sender, follow
from runner.observers.tracking import Tracking
from runner.plan import Plan
from runner.session import Session

PLAN = Plan.of(4, steps=12, evaluate_every_epochs=1, save_every_epochs=1, log_every_steps=2)


class Desk:
    """An outbox, a notebook, and a sender between them."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "tracking" / "notebook.jsonl"
        self.pages = folder / "pages"
        self.away = self.pages.with_suffix(".away")
        self.said: list[str] = []
        self.outbox = Outbox(self.path)
        self.outbox.put(Begin("notebook:Notebook", {"pages": str(self.pages)}, "a__0", {"lr": 0.1}, 0, 1))

    def sender(self) -> Sender:
        return Sender(self.path, tell=self.said.append)

    def put(self, *steps: int, kind: str = "logged", name: str = "train/loss") -> None:
        for step in steps:
            self.outbox.put(Points(kind, step, 1, {name: 1 / step}))

    def steps(self) -> list[int]:
        return [line[2] for line in notebook.read(self.pages) if line[0] == "points"]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.outbox.close()


def test_messages_arrive_in_order_and_once(desk: Desk) -> None:
    desk.put(*range(1, 251))
    sender = desk.sender()
    assert sender.send()
    desk.put(251)
    assert sender.send()
    assert desk.steps() == list(range(1, 252))
    assert waiting(desk.path) == 0
    assert desk.said == []


def test_another_process_goes_on_where_one_was_left(desk: Desk) -> None:
    desk.put(1, 2)
    assert desk.sender().send()
    desk.put(3)
    assert desk.sender().send()
    assert [line[0] for line in notebook.read(desk.pages)] == ["begin", "points", "points", "begin", "points"]
    assert desk.steps() == [1, 2, 3]
    assert notebook.read(desk.pages)[3][3] == 2  # the memory was kept


def test_while_it_is_away_nothing_is_lost_and_it_is_said_once(desk: Desk) -> None:
    sender = desk.sender()
    desk.put(1)
    assert sender.send()
    desk.away.touch()
    for step in (2, 3, 4):
        desk.put(step)
        assert not sender.send()
    assert desk.steps() == [1]
    assert waiting(desk.path) == 3
    [said] = desk.said
    assert "notebook cannot be told (http://***@host is not there)" in said
    assert str(desk.path) in said
    desk.away.unlink()
    assert sender.send()
    assert desk.steps() == [1, 2, 3, 4]
    assert desk.said[1:] == ["notebook has been told all that it missed"]


def test_what_is_refused_is_left_out_and_said_once(desk: Desk) -> None:
    desk.put(1)
    assert desk.sender().send()
    sender = desk.sender()
    desk.outbox.put(File("odd.png"))
    desk.outbox.put(File("gone.png"))
    desk.put(2)
    assert sender.send()
    assert desk.steps() == [1, 2]
    [said] = desk.said
    assert "refused something, which is left out" in said


def test_a_run_that_is_refused_is_kept_whole(desk: Desk) -> None:
    desk.outbox.put(replace(next(iter(begins(desk))), run="odd"))
    desk.put(1)
    assert not desk.sender().send()
    assert waiting(desk.path) == 2
    assert "odd is no name" in desk.said[0]


def begins(desk: Desk) -> list[Begin]:
    return [message for message, _ in messages(desk.path) if isinstance(message, Begin)]


def test_a_resumed_run_tells_no_number_twice(desk: Desk) -> None:
    desk.put(2, 4)
    desk.put(4, kind="evaluated")
    desk.outbox.put(Points("logged", 6, 1, {"train/loss": 0.5}))
    desk.outbox.close()
    with desk.path.open("a") as file:
        file.write('{"type": "points", "kind": "logg')  # killed while it wrote
    again = Outbox(desk.path, step=3)
    for step, loss in ((4, 1 / 4), (6, 0.6), (8, 0.1)):
        again.put(Points("logged", step, 2, {"train/loss": loss, "samples_per_s": step}))
    again.put(Points("evaluated", 8, 2, {"valid/loss": 0.1}))
    again.close()
    assert desk.sender().send()
    told = [(line[1], line[2]) for line in notebook.read(desk.pages) if line[0] == "points"]
    first = [("logged", 2), ("logged", 4), ("evaluated", 4), ("logged", 6)]
    assert told == [
        *first,
        ("logged", 6),
        ("logged", 8),
        ("evaluated", 8),
    ]  # the sixth had another value, as of another budget


def test_a_run_whose_process_is_gone_is_marked(desk: Desk) -> None:
    desk.put(1)
    orders, hold = os.pipe()
    os.close(hold)
    assert follow(desk.sender(), orders)
    os.close(orders)
    assert notebook.read(desk.pages)[-1] == ["end", "interrupted", 0]


def test_the_sender_ends_with_the_run(desk: Desk) -> None:
    orders, hold = os.pipe()
    done: list[bool] = []
    thread = threading.Thread(target=lambda: done.append(follow(desk.sender(), orders)))
    thread.start()
    desk.put(1)
    desk.outbox.put(End("completed", 1, 2))
    os.write(hold, b"\n")
    thread.join(10)
    assert done == [True]
    os.close(orders)
    os.close(hold)


def test_secrets_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter22")
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    error = ValueError("https://me:other@host/x said 401 to hunter22 and 0123456789abcdef")
    assert sending.reason(error) == "https://***@host/x said 401 to *** and ***"
    chain = "Max retries exceeded (Caused by NewConnectionError('…: [Errno 111] Connection refused'))"
    assert sending.reason(ValueError(chain)) == "Connection refused"


def test_the_facts_are_those_of_the_manifest(tmp_path: Path) -> None:
    manifest = {"config_digest": "c", "code": {"git": [{"commit": "abc"}]}, "data": {"sha256": "d"}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    facts = tracking.facts_of(tmp_path)
    assert facts == {"folder": str(tmp_path), "config_digest": "c", "code.commit": "abc", "data.sha256": "d"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"weights": "all"}, "logger.x.weights must be one of best, none"), ({"wait_s": -1}, "logger.x.wait_s must not")],
)
def test_settings_that_do_not_fit(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Tracking("x", tracker="notebook:Notebook", settings={}, **settings)


def test_a_folder_is_needed() -> None:
    with pytest.raises(ValueError, match="needs a run with a folder"):
        Tracking("x", tracker="", settings={}).started(RunInfo("a__0", None, tiny.task_of("gan"), PLAN, 0))


def told(folder: Path, *, wait_s: float = 30.0, weights: str = "none", state: str = "completed") -> Tracking:
    """A run of 4 steps, whose observer has a process of its own."""
    (folder / "summary.txt").write_text("layers")
    (folder / "checkpoints").mkdir(exist_ok=True)
    (folder / "checkpoints" / "best_accuracy.pt").write_bytes(b"weights")
    settings = {"pages": str(folder / "pages")}
    observer = Tracking("x", tracker="notebook:Notebook", settings=settings, weights=weights, wait_s=wait_s)
    observer.started(RunInfo("a__0", folder, tiny.task_of("classification"), PLAN, 0, hparams={"lr": 0.1}))
    for step in (2, 4):
        observer.logged(StepRecord(step, step / 4, {"train/loss": 1 / step}, {"lr": 0.1}, 10.0, 1.0))
    observer.evaluated(EvaluationRecord(4, 1.0, {"valid/loss": 0.5}, {}, {"lr": 0.1}, 10.0, 1.0))
    observer.finished(Outcome(state, 4, {"test/accuracy": 0.75} if state == "completed" else {}))
    return observer


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))


@pytest.mark.usefixtures("importable")
def test_a_process_of_its_own_tells_everything(tmp_path: Path) -> None:
    random.seed(3)
    before = random.getstate()
    told(tmp_path, weights="best")
    assert notebook.read(tmp_path / "pages") == [
        ["begin", "a__0", 0, 1],
        ["file", "summary.txt", 6],
        ["points", "logged", 2, {"train/loss_step": 0.5, "lr": 0.1, "samples_per_s": 10.0}],
        ["points", "logged", 4, {"train/loss_step": 0.25, "lr": 0.1, "samples_per_s": 10.0}],
        ["points", "evaluated", 4, {"valid/loss": 0.5}],
        ["points", "final", 4, {"test/accuracy": 0.75}],
        ["file", "checkpoints/best_accuracy.pt", 7],
        ["end", "completed", 4],
    ]
    assert random.getstate() == before  # the notebook draws, in a process of its own


@pytest.mark.usefixtures("importable")
@pytest.mark.parametrize("state", ["failed", "interrupted"])
def test_it_is_told_how_a_run_ended(tmp_path: Path, state: str) -> None:
    told(tmp_path, state=state)
    assert notebook.read(tmp_path / "pages")[-1] == ["end", state, 4]
    assert not any(line[1] == "final" for line in notebook.read(tmp_path / "pages"))


@pytest.mark.slow
@pytest.mark.usefixtures("importable")
def test_a_run_ends_while_its_tracker_is_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    away = tmp_path / "pages.away"
    away.touch()
    with caplog.at_level(logging.WARNING):
        began_s = time.monotonic()
        told(tmp_path, wait_s=2.0)
        assert time.monotonic() - began_s < 25
    said = [record.getMessage() for record in caplog.records]
    assert sum("x cannot be told" in line for line in said) == 1
    assert f"7 messages wait in {tmp_path / 'tracking' / 'x.jsonl'}; send them with" in said[-1]
    assert f"python -m runner resume {tmp_path}" in said[-1]
    away.unlink()
    assert tracking.send_rest(tmp_path) == ["x has been told the 7 it had missed"]
    assert tracking.send_rest(tmp_path) == []
    assert notebook.read(tmp_path / "pages")[-1] == ["end", "completed", 4]
    assert Delivery(tmp_path / "tracking" / "x.jsonl").memory["times"] == 1


@pytest.mark.slow
@pytest.mark.usefixtures("importable")
def test_a_run_that_is_told_is_the_run_that_is_not(tmp_path: Path) -> None:
    def trained(*observers: Tracking) -> tuple[Session, object]:
        random.seed(0)
        made = tiny.session(folder=tmp_path, observers=observers)
        made.train()
        made.observers.finished(Outcome("completed", made.state.step, {}))
        return made, random.getstate()

    settings = {"pages": str(tmp_path / "pages")}
    alone, drawn = trained()
    shutil.rmtree(tmp_path / "checkpoints", ignore_errors=True)
    for file in tmp_path.glob("*.pt"):
        file.unlink()
    observed, drawn_too = trained(Tracking("x", tracker="notebook:Notebook", settings=settings))
    assert tiny.differing(alone, observed) == []
    assert drawn == drawn_too
    assert notebook.read(tmp_path / "pages")[-1] == ["end", "completed", 14]
