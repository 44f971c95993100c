"""The laws of exactness on a CUDA device: places of the data, precisions, compiled networks and CUDA graphs."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from torch import Tensor, nn

from runner.composition import compile_networks
from runner.config.conf_dir import conf_dir
from runner.config.schema import register
from runner.manner import Manner
from runner.randomness import Randomness
from runner.run import run
from runner.tasks import Classification

pytestmark = pytest.mark.gpu

DATA = {"train_size": 66, "valid_size": 12, "test_size": 12, "height": 32, "width": 32, "channels": 3}
SMALL = [
    *("dataset=synthetic", "augmentation=crop_flip", *(f"dataset.{key}={value}" for key, value in DATA.items())),
    *("logger=[csv]", "trainer.device=cuda", "trainer.deterministic=true", "trainer.workers=1"),
    *("trainer.epochs=2", "trainer.batch_size=10", "trainer.log_every_steps=1"),  # the last of 7 batches is short
]
MLP = ["model=mlp", "model.hidden=[32]", "model.dropout=0.5"]


def trained(folder: Path, *overrides: str, model: Sequence[str] = MLP, manner: Manner | None = None) -> dict[str, Any]:
    """The manifest of a small run on the device."""
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("config", overrides=[*SMALL, *model, *overrides])
    folder.mkdir(exist_ok=True)
    run(cfg, folder, name=folder.name, manner=manner)
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return manifest


def numbers(manifest: dict[str, Any]) -> dict[str, Any]:
    return {key: manifest[key] for key in ("weights_sha256", "metrics", "evaluations", "best")}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_the_place_of_the_data_changes_no_result(precision: str, tmp_path: Path) -> None:
    made = {
        place: trained(tmp_path / place, f"trainer.resident={place}", f"trainer.precision={precision}")
        for place in ("device", "host", "never")
    }
    assert {place: set(manifest["data"]["resident"].values()) for place, manifest in made.items()} == {
        place: {place} for place in made
    }
    assert numbers(made["device"]) == numbers(made["host"]) == numbers(made["never"])
    assert numbers(trained(tmp_path / "other", "seed=1")) != numbers(made["device"])


@pytest.mark.parametrize("compiled", ["off", "default", "reduce-overhead"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_interrupted_is_uninterrupted(compiled: str, precision: str, tmp_path: Path) -> None:
    settings = (f"trainer.compile={compiled}", f"trainer.precision={precision}")
    whole = trained(tmp_path / "whole", *settings)
    halves = tmp_path / "halves"
    stop = whole["steps"] // 2 - 1  # in the middle of an epoch
    trained(halves, *settings, manner=Manner(until_steps=stop))
    torch.compiler.reset()  # as a new process would come to it
    resumed = trained(halves, *settings, manner=Manner(resume=True))
    assert resumed["sessions"][-1]["first_step"] == stop
    assert numbers(resumed) == numbers(whole)


def test_the_history_tells_warm_up_and_memory(tmp_path: Path) -> None:
    trained(tmp_path / "run", "trainer.compile=reduce-overhead")
    steps, evaluations = rows(tmp_path / "run/steps.csv"), rows(tmp_path / "run/history.csv")
    short = steps[len(steps) // 2 - 1]  # the last batch of the first epoch
    assert [row["samples_per_s"] for row in (steps[0], steps[1], short)] == ["", "", ""]
    assert float(steps[0]["warmup_s"]) > 0.1  # compiling takes longer
    assert all(float(row["warmup_s"]) == 0 for row in steps if row["samples_per_s"])
    assert float(evaluations[0]["warmup_s"]) >= sum(float(row["warmup_s"]) for row in (steps[0], steps[1], short)) - 0.1
    assert all(0 < float(row["memory_gib"]) < 80 for row in (*steps, *evaluations))


@pytest.mark.parametrize("compiled", ["default", "reduce-overhead"])
def test_dropout_in_a_compiled_network_is_a_function_of_the_step(compiled: str) -> None:
    """Also in a CUDA graph: warming up, recording and replaying it draw the same."""
    task = Classification(nn.Sequential(nn.Linear(64, 64), nn.Dropout(0.5)).cuda(), nn.CrossEntropyLoss())
    compile_networks(task, compiled)
    network = task.networks()["model"]
    images = torch.ones(32, 64, device="cuda")

    def at(step: int) -> Tensor:
        Randomness(0).reseed("step", step)
        output: Tensor = network(images)
        torch.autograd.backward(output.sum())
        network.zero_grad()
        return output.detach().clone()

    drawn = [at(step) for step in range(6)]
    assert all(torch.equal(at(step), drawn[step]) for step in range(5, -1, -1))
    assert all(not torch.equal(drawn[0], other) for other in drawn[1:])


def test_a_step_waits_for_the_device_only_where_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch refuses each wait between two steps; ``# host sync`` is allowed at logged steps and evaluations only."""
    from runner.observers.observers import Observers

    stepped, steps = Observers.stepped, []

    def watched(self: Observers, step: int, losses: dict[str, Tensor], *, samples: int) -> None:
        torch.cuda.set_sync_debug_mode("default")
        stepped(self, step, losses, samples=samples)
        steps.append(step)
        if 2 <= step < 8 and not self._plan.evaluates(step):  # before these, kernels are loaded and memory is got
            torch.cuda.set_sync_debug_mode("error")

    monkeypatch.setattr(Observers, "stepped", watched)
    settings = ["trainer.epochs=1", "trainer.log_every_steps=100", "trainer.clip_norm=1", "trainer.precision=bf16"]
    try:
        for place in ("device", "host"):
            trained(tmp_path / place, *settings, "trainer.batch_size=8", f"trainer.resident={place}")
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert steps == 2 * list(range(1, 10))


def test_channels_last_and_precisions_train(tmp_path: Path) -> None:
    for precision in ("fp32", "bf16", "fp16"):
        settings = ["trainer.channels_last=true", f"trainer.precision={precision}"]
        manifest = trained(tmp_path / precision, *settings, model=["model=resnet18_small"])
        assert manifest["precision"] == precision
        assert manifest["status"] == "completed"
