"""One run, from its configuration to what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from cli.terminal import SMALL
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from runner import drawing
from runner.config import build
from runner.config.conf_dir import conf_dir
from runner.config.schema import register
from runner.digest import of_weights as digest
from runner.manner import Manner
from runner.problem import Failed, Interrupted
from runner.run import run
from runner.session import Session

Ran = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def composed() -> Iterator[DictConfig]:
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        yield compose("config", overrides=SMALL)


@pytest.fixture
def ran(composed: DictConfig, tmp_path: Path) -> Ran:
    """The manifest of a small run with other values."""

    def go(name: str = "run", **values: Any) -> dict[str, Any]:
        cfg = composed.copy()
        for key, value in values.items():
            OmegaConf.update(cfg, key.replace("__", "."), value, merge=False, force_add=True)
        folder = tmp_path / name
        folder.mkdir()
        run(cfg, folder, name=name)
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
        return manifest

    return go


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = torch.load(folder / "checkpoints/last.pt", weights_only=True)["parts"]["task"]
    return weights


@pytest.mark.slow
@pytest.mark.parametrize(
    "values",
    [
        {"seed": 1},
        {"trainer__clip_norm": 1e-3},
        {"trainer__clip_value": 1e-4},
        {"trainer__precision": "bf16"},
        {"trainer__batch_size": 8},
        {"optimizer__lr": 0.5},
        {"optimizer__weight_decay": 0.5},
        {"model__dropout": 0.5},
        {"loss__label_smoothing": 0.5},
        {"augmentation": {"_target_": "runner.data.augment.CropFlip"}},
        {"dataset__seed": 1},
        {"scheduler": {"_target_": "runner.optim.schedulers.exponential", "gamma": 0.1}},
        {"debug__steps": 1},
        {"debug__samples": 4},
    ],
    ids=str,
)
def test_a_setting_that_should_act_does(ran: Ran, values: dict[str, Any]) -> None:
    # Under SGD: clipping would change next to nothing for Adam, which does not see the scale of gradients.
    sgd = {"optimizer": {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.1, "weight_decay": 0.0}}
    assert ran("plain", **sgd)["weights_sha256"] != ran("other", **{**sgd, **values})["weights_sha256"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "values",
    [
        {"trainer__log_every_steps": 1},
        {"trainer__evaluate_every_steps": 1, "trainer__save_every_steps": 1},
        {"trainer__eval_batch_size": 1},
        {"trainer__resident": "never"},
        {"trainer__resident": "device"},
        {"trainer__resident": "host"},
        {"trainer__deterministic": True},
        {"trainer__channels_last": True},
        {"trainer__tf32": False},
        {"trainer__clip_norm": 1e9},
        {"logger": {"csv": {"_target_": "runner.observers.CsvFiles"}}},
    ],
    ids=str,
)
def test_a_setting_that_should_change_no_bits_does_not(ran: Ran, values: dict[str, Any]) -> None:
    assert ran("plain")["weights_sha256"] == ran("other", **values)["weights_sha256"]


@pytest.mark.slow
def test_pieces_of_a_batch_give_the_same_update(ran: Ran, tmp_path: Path) -> None:
    ran("whole")
    ran("pieces", trainer__micro_batches=3)
    whole, pieces = weights_of(tmp_path / "whole"), weights_of(tmp_path / "pieces")
    assert all(torch.allclose(whole[name], pieces[name], atol=1e-6, rtol=0) for name in whole)


@pytest.mark.slow
def test_threads_act_inside_and_the_settings_of_before_hold_after(ran: Ran) -> None:
    outside = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    manifest = ran(trainer__threads=outside[0] + 1, trainer__deterministic=True)
    assert manifest["threads"] == outside[0] + 1
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == outside


def test_the_settings_of_before_hold_after_a_failure_too(ran: Ran, tmp_path: Path) -> None:
    outside = torch.get_num_threads()
    with pytest.raises(ValueError, match="lookup table"):
        ran(model={"_target_": "cli.user_code.BreaksAtStepTwo"}, trainer__threads=outside + 1)
    assert torch.get_num_threads() == outside
    status = json.loads((tmp_path / "run/status.json").read_text())
    assert (status["state"], status["step"]) == ("failed", 1)


@pytest.mark.slow
def test_best_checkpoints_have_their_direction(ran: Ran, tmp_path: Path) -> None:
    steps = {"trainer__steps": 4, "trainer__evaluate_every_steps": 1}
    ran("min", trainer__best={"loss": "min"}, **steps)
    ran("max", trainer__best={"loss": "max"}, **steps)
    lowest, highest = (
        torch.load(tmp_path / name / "checkpoints/best_loss.pt", weights_only=True)["metrics"]["valid/loss"]
        for name in ("min", "max")
    )
    assert lowest < highest


@pytest.mark.slow
def test_debug_steps_leave_the_schedule_whole(ran: Ran, tmp_path: Path) -> None:
    """The first step of a hundred is the same whether the run stops there or not."""
    linear = {"scheduler": {"_target_": "runner.optim.schedulers.linear"}, "trainer__steps": 100}
    sgd = {"optimizer": {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.1}}
    ran("cut", debug__steps=2, **linear, **sgd)
    ran("short", **{**linear, "trainer__steps": 2}, **sgd)
    rates = {
        name: torch.load(tmp_path / name / "checkpoints/last.pt", weights_only=True)["parts"]["update/model"]
        for name in ("cut", "short")
    }
    assert rates["cut"]["optimizer"]["param_groups"][0]["lr"] == pytest.approx(0.098)
    assert rates["short"]["optimizer"]["param_groups"][0]["lr"] == pytest.approx(0.0)


def test_a_digest_sees_every_weight_and_buffer() -> None:
    def module() -> torch.nn.Module:
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))

    first, other = module(), module()
    assert digest(first) == digest(other)
    other.get_buffer("1.running_mean")[0] += 1e-6
    assert digest(first) != digest(other)
    assert digest(module()) == digest(module().to(memory_format=torch.channels_last))
    assert digest(module().bfloat16())


WEIGHTED = {
    "loss": {"_target_": "runner.losses.CrossEntropy", "weight": [9.0] + [1.0] * 9},
}


@pytest.mark.slow
@pytest.mark.parametrize("ignored", [-100, 0])
def test_an_evaluation_does_not_depend_on_its_batch_size_when_samples_weigh_differently(ran: Ran, ignored: int) -> None:
    """The mean over batches of one is the mean over all; a batch of which nothing counts adds nothing."""
    values = {"loss": {**WEIGHTED["loss"], "ignore_index": ignored}}
    whole = ran("whole", **values, trainer__eval_batch_size=100)["metrics"]["test/loss"]
    pieces = ran("pieces", **values, trainer__eval_batch_size=1)["metrics"]["test/loss"]
    assert pieces == pytest.approx(whole, rel=1e-5)


def test_a_signal_in_the_last_evaluation_is_heard(
    composed: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a sweep would go on with its next job."""
    evaluate = Session.evaluate

    def interrupted(self: Session, part: str, step: int) -> dict[str, float]:
        if part == "test":
            os.kill(os.getpid(), signal.SIGINT)
        return evaluate(self, part, step)

    monkeypatch.setattr(Session, "evaluate", interrupted)
    with pytest.raises(Interrupted, match="interrupted by SIGINT"):
        run(composed.copy(), tmp_path, name="run")
    assert json.loads((tmp_path / "status.json").read_text())["state"] == "interrupted"


class Leaves(torch.nn.Module):
    """A model that wants to end the process."""

    def __init__(self, *, num_classes: int, image_size: tuple[int, int]) -> None:
        super().__init__()
        self.head = torch.nn.Linear(image_size[0] * image_size[1], num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        raise SystemExit(3)


def test_a_run_that_calls_exit_has_failed(
    composed: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "build_model", lambda _cfg, spec: Leaves(num_classes=10, image_size=spec.image_size))
    with pytest.raises(Failed, match=r"called sys\.exit\(3\)"):
        run(composed.copy(), tmp_path, name="run")
    assert json.loads((tmp_path / "status.json").read_text())["state"] == "failed"


@pytest.mark.slow
@pytest.mark.skipif(not drawing.available(), reason="pictures need runner[report]")
def test_a_run_that_goes_on_with_nothing_left_to_evaluate_marks_its_best(composed: DictConfig, tmp_path: Path) -> None:
    pictures = {"history": {"_target_": "runner.observers.HistoryPictures"}}
    values = {"logger": pictures, "trainer.best.loss": "min", "trainer.evaluate_every_steps": 1}
    cfg = build.with_values(composed, values)
    drawn = []
    for manner in (Manner(), Manner(resume=True)):
        run(cfg, tmp_path, name="run", manner=manner)
        drawn.append((tmp_path / "history/loss.svg").read_text())
    assert "best" in drawn[0]
    assert drawn[1] == drawn[0]
