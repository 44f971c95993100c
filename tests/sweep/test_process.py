"""What a job tells the sweep, on a real pipe."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from typing import Any

import tiny
from omegaconf import OmegaConf

from runner.observers.observer import EvaluationRecord, RunInfo, StepRecord
from runner.plan import Plan
from runner.sweep.ending import Ending
from runner.sweep.process import Progress, Reporter, watched_metric

PLAN = Plan.of(10, epochs=2, log_every_steps=1)


def info(first_step: int = 0) -> RunInfo:
    return RunInfo("run", None, tiny.task_of("classification"), PLAN, first_step)


def step(number: int, elapsed_s: float) -> StepRecord:
    return StepRecord(number, number / 10, {}, {}, 1.0, elapsed_s, None)


def evaluation(number: int, elapsed_s: float, **metrics: float) -> EvaluationRecord:
    named = {f"valid/{name}": value for name, value in metrics.items()}
    return EvaluationRecord(number, number / 10, named, {}, {}, 1.0, elapsed_s)


def heard(ear: Connection) -> list[Any]:
    messages = []
    while ear.poll():
        messages.append(ear.recv())
    return messages


def test_how_far_a_job_is() -> None:
    """At the start, at each evaluation, and at steps once a second."""
    now = 100.0
    ear, mouth = multiprocessing.Pipe(duplex=False)
    reporter = Reporter(mouth, "valid/accuracy", clock=lambda: now)
    reporter.started(info(first_step=4))
    reporter.logged(step(5, 1.0))
    now = 101.5
    reporter.logged(step(6, 2.0))
    reporter.logged(step(7, 3.0))
    reporter.evaluated(evaluation(8, 4.0, accuracy=0.75))
    assert heard(ear) == [
        Progress(4, 20, 0.4, 2, "valid/accuracy", None, None),
        Progress(6, 20, 0.6, 2, "valid/accuracy", None, 14.0),
        Progress(8, 20, 0.8, 2, "valid/accuracy", 0.75, 12.0),
    ]


def test_training_does_not_wait_for_a_sweep_that_does_not_listen() -> None:
    """Thousands of messages fit nowhere; those that are heard are whole, and the last word is among them."""
    ear, mouth = multiprocessing.Pipe(duplex=False)
    reporter = Reporter(mouth, "valid/loss")
    reporter.started(info())
    for number in range(3000):
        reporter.evaluated(evaluation(number, 1.0, loss=0.5))
    messages = heard(ear)
    assert 10 < len(messages) < 3000
    assert all(isinstance(message, Progress) for message in messages)
    reporter.end(Ending("completed"))
    assert heard(ear) == [Ending("completed")]


def test_a_sweep_that_is_gone_stops_nothing() -> None:
    ear, mouth = multiprocessing.Pipe(duplex=False)
    reporter = Reporter(mouth, "valid/loss")
    ear.close()
    reporter.started(info())
    reporter.end(Ending("completed"))


def test_the_metric_to_watch() -> None:
    assert (
        watched_metric(OmegaConf.create({"trainer": {"best": {"accuracy": "max", "loss": "min"}}})) == "valid/accuracy"
    )
    assert watched_metric(OmegaConf.create({"trainer": {"best": {}}})) == "valid/loss"
    assert watched_metric(OmegaConf.create({})) == "valid/loss"
