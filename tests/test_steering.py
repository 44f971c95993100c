"""Runs that freeze, thaw and move the momentum, from a configuration to the files that they leave."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from runner.config.conf_dir import conf_dir
from runner.config.schema import register
from runner.manner import Manner
from runner.preflight import Job, check
from runner.run import run
from runner.weights_file import read

TINY = [
    *("dataset=synthetic", "dataset.train_size=20", "dataset.valid_size=4", "dataset.test_size=4", "dataset.height=6"),
    *("dataset.width=6", "dataset.channels=1", "model=mlp", "model.hidden=[4]", "trainer.batch_size=4"),
    *(
        "trainer.resident=auto",
        "trainer.workers=0",
        "trainer.epochs=3",
        "trainer.log_every_steps=1",
        "trainer.threads=1",
    ),
]


@pytest.fixture(scope="module", autouse=True)
def shipped() -> Iterator[None]:
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        yield


def composed(*overrides: str) -> DictConfig:
    return compose("config", overrides=[*TINY, *overrides])


def trained(folder: Path, *overrides: str, manner: Manner | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    run(composed(*overrides), folder, name="job", manner=manner)
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(read(folder / "checkpoints" / "last.pt").tensors)


def rows(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text().splitlines()))


def messages(*overrides: str) -> list[str]:
    return check([Job("job", composed("logger=[]", *overrides), Path("nowhere/job"))]).lines()


@pytest.mark.slow
def test_a_run_thaws_where_it_should_and_goes_on_to_the_bit(tmp_path: Path) -> None:
    steered = ["freeze={layers.1.*: 1}", "momentum=linear", "momentum.over_epochs=2", "optimizer=sgd", "logger=[csv]"]
    whole = trained(tmp_path / "whole", *steered)
    assert "Frozen: 148." in (whole / "summary.txt").read_text()
    lines = (whole / "digests.jsonl").read_text().splitlines()
    digests = [json.loads(line)["tensors"]["model.layers.1.weight"] for line in lines]
    assert digests[0] == digests[1] != digests[2]
    for until in (3, 7):
        folder = tmp_path / f"half{until}"
        trained(folder, *steered, manner=Manner(until_steps=until))
        assert json.loads((folder / "status.json").read_text())["step"] == until
        trained(folder, *steered, manner=Manner(resume=True))
        ours, theirs = weights(folder), weights(whole)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
        assert [row["momentum"] for row in rows(folder / "steps.csv")] == [
            row["momentum"] for row in rows(whole / "steps.csv")
        ]


@pytest.mark.slow
def test_the_momentum_is_in_all_logs_where_it_moves_and_nowhere_else(tmp_path: Path) -> None:
    moved = trained(tmp_path / "moved", "momentum=linear", "momentum.over_steps=4", "logger=[csv,tensorboard]")
    expected = [0.5 + 0.1 * min(step, 4) for step in range(1, 16)]
    assert [float(row["momentum"]) for row in rows(moved / "steps.csv")] == pytest.approx(expected)
    assert [float(row["momentum"]) for row in rows(moved / "history.csv")] == pytest.approx([0.9] * 3)
    events = EventAccumulator(str(moved / "tensorboard")).Reload().Scalars("momentum")
    assert [event.value for event in events] == pytest.approx(expected)
    still = trained(tmp_path / "still", "logger=[csv]")
    assert "momentum" not in rows(still / "steps.csv")[0]


@pytest.mark.slow
def test_what_a_file_gave_stays_where_it_is_frozen(tmp_path: Path) -> None:
    first = trained(tmp_path / "first", "logger=[]")
    tuned = trained(
        tmp_path / "tuned", "logger=[]", "seed=1", f"init_from={first}/checkpoints/last.pt", "freeze={layers.1.*: null}"
    )
    before, after = weights(first), weights(tuned)
    assert [name for name in before if torch.equal(before[name], after[name])] == [
        "model.layers.1.weight",
        "model.layers.1.bias",
    ]


@pytest.mark.slow
def test_preflight_says_what_is_frozen_and_what_cannot_be() -> None:
    found = check([Job("job", composed("logger=[]", "freeze={layers.1.*: 2}"), Path("nowhere/job"))])
    assert found.lines() == []
    assert [told.problem.text for told in found.told] == [
        "layers.1.*: 2 parameters (148 weights) until epoch 2 (step 10)"
    ]
    assert "freeze.layer.1.*=2: matches no parameter" in messages("freeze={layer.1.*: 2}")[0]
    assert "leaves nothing of 'model' to train in step 1 of 15" in messages("freeze={*: null}")[0]
    assert "is no epoch within the training, which has 3" in messages("freeze={layers.1.*: 3}")[0]
    assert "freeze=layers: must give epochs by pattern" in messages("freeze=layers")[0]
    assert "set scheduler.cycle_momentum=false" in messages("momentum=linear", "scheduler=one_cycle")[0]
    assert "Adadelta, which has neither" in messages("momentum=linear", "optimizer=adadelta")[0]
    assert "must be at least 0 and less than 1, got 1" in messages("momentum=linear", "momentum.final_momentum=1.0")[0]
    assert (
        "momentum.final_momentum=high: must be a num" in messages("momentum=linear", "momentum.final_momentum=high")[0]
    )
    assert "momentum.over_epoch" in messages("momentum=linear", "+momentum.over_epoch=1")[0]


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (["momentum=linear", "optimizer=adagrad"], "momentum"),
        (["momentum=linear", "momentum.over_steps=0"], "momentum"),
        (["scheduler=cosine", "scheduler.warmup_steps=99"], "scheduler"),
        (["+optimizer.groups={layers.*: {train_steps: 3}}"], "optimizer"),
    ],
)
def test_preflight_tells_a_schedule_that_cannot_be_under_the_group_that_asks_for_it(
    overrides: list[str], key: str
) -> None:
    first, *_ = check([Job("job", composed("logger=[]", *overrides), Path("nowhere/job"))]).wrong
    assert first.problem.key == key
