"""The recipe ``experiment=cifar10_airbench94`` against a transcription of its source's mathematics.

Keller Jordan, airbench94_muon.py. The source trains on the sum over a batch of B images; SGD's rates are 0.053 for
biases and 0.67 for the head, its decays 2e-6 * B, divided by the rate.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hydra import compose
from omegaconf import DictConfig
from torch import Tensor, nn

from runner import composition, initial
from runner.manner import Manner
from runner.models import Airbench
from runner.run import run
from runner.state import State

pytestmark = pytest.mark.usefixtures("shipped")

BATCH, EPOCHS, WHITEN_EPOCHS = 8, 4, 3
BIAS_LR, HEAD_LR, FILTER_LR = 0.053, 0.67, 0.24
DECAY = 2e-6  # times the batch
SHAPED = ["dataset=synthetic", "dataset.train_size=24", "dataset.valid_size=4", "dataset.test_size=4"]


def recipe(*overrides: str) -> DictConfig:
    return compose("config", overrides=["experiment=cifar10_airbench94", *overrides])


def on_few_images(*overrides: str) -> DictConfig:
    """The recipe on CIFAR-shaped data, its rates those of a batch of ``BATCH`` images."""
    cfg = recipe("~dataset", "logger=[]", "model.width=4", f"trainer.batch_size={BATCH}", *overrides)
    cfg.dataset = compose("config", overrides=SHAPED).dataset
    for name, lr in (("whiten.bias", BIAS_LR), ("blocks.*.bias", BIAS_LR), ("head.weight", HEAD_LR)):
        cfg.optimizer.groups[name].weight_decay = DECAY * BATCH / lr / BATCH
    cfg.optimizer.sgd_lr = BIAS_LR * BATCH
    cfg.optimizer.groups["head.weight"].lr = HEAD_LR * BATCH
    return cfg


@pytest.mark.slow
def test_its_rates_are_the_sources() -> None:
    cfg = recipe()
    batch, groups = cfg.trainer.batch_size, cfg.optimizer.groups
    assert cfg.optimizer.sgd_lr == pytest.approx(BIAS_LR * batch)
    assert groups["head.weight"].lr == pytest.approx(HEAD_LR * batch)
    assert cfg.optimizer.lr == FILTER_LR
    for name, lr in (("whiten.bias", BIAS_LR), ("blocks.*.bias", BIAS_LR), ("head.weight", HEAD_LR)):
        assert groups[name].weight_decay == pytest.approx(DECAY * batch / lr / batch)
    assert groups["whiten.bias"].train_epochs == WHITEN_EPOCHS


def orthogonalised(matrix: Tensor) -> Tensor:
    x: Tensor = matrix / (matrix.norm() + 1e-7)
    x = x.T if len(matrix) > matrix.size(1) else x
    for _ in range(3):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x.T if len(matrix) > matrix.size(1) else x


class Source:
    """A training step as the source takes it."""

    def __init__(self, model: Airbench, *, steps: int, whiten_steps: int) -> None:
        self.model, self.steps, self.whiten_steps, self.done = model, steps, whiten_steps, 0
        self.momenta: dict[str, Tensor] = {}

    def step(self, images: Tensor, labels: Tensor) -> None:
        F.cross_entropy(self.model(images), labels, label_smoothing=0.2, reduction="sum").backward()  # type: ignore[no-untyped-call]
        remaining, whitening = 1 - self.done / self.steps, 1 - self.done / self.whiten_steps
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                if parameter.grad is None or (name == "whiten.bias" and whitening <= 0):
                    continue
                if parameter.ndim == 4:
                    self._filter(name, parameter, FILTER_LR * remaining)
                else:
                    lr = HEAD_LR if name == "head.weight" else BIAS_LR
                    self._sgd(name, parameter, lr, scale=whitening if name == "whiten.bias" else remaining)
        self.model.zero_grad()
        self.done += 1

    def _filter(self, name: str, parameter: nn.Parameter, lr: float) -> None:
        gradient = parameter.grad
        assert gradient is not None
        momentum = self.momenta[name] = 0.6 * self.momenta.get(name, torch.zeros_like(gradient)) + gradient
        update = orthogonalised((gradient + 0.6 * momentum).flatten(1)).view_as(parameter)
        parameter.mul_(len(parameter) ** 0.5 / parameter.norm()).sub_(lr * update)

    def _sgd(self, name: str, parameter: nn.Parameter, lr: float, *, scale: float) -> None:
        assert parameter.grad is not None
        gradient = parameter.grad + DECAY * BATCH / lr * parameter
        momentum = self.momenta[name] = 0.85 * self.momenta.get(name, torch.zeros_like(gradient)) + gradient
        parameter.sub_(lr * scale * (gradient + 0.85 * momentum))


@pytest.mark.slow
def test_it_takes_the_sources_steps() -> None:
    cfg = on_few_images(f"trainer.epochs={EPOCHS}", "trainer.evaluate_every_epochs=4")
    made = composition.compose(cfg, device=torch.device("cpu"), state=State())
    session, (model,) = made.session, made.session.task.networks().values()
    initial.show_data(session.task, made.splits)
    steps = session.plan.total_steps
    assert (steps, session.plan.steps_per_epoch) == (12, 3)
    theirs = Airbench(in_channels=3, image_size=(32, 32), num_classes=10, width=4)
    theirs.load_state_dict(model.state_dict())
    before = {name: tensor.clone() for name, tensor in theirs.state_dict().items()}
    source = Source(theirs, steps=steps, whiten_steps=WHITEN_EPOCHS * 3)
    batches = made.data.train()
    for _ in range(steps):
        source.step(*next(batches))
    session.train()
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, theirs.state_dict()[name], rtol=5e-3, atol=5e-4, msg=name)
    still = [name for name, tensor in theirs.state_dict().items() if torch.equal(tensor, before[name])]
    assert still == ["whiten.weight", *(name for name in before if name.endswith(("norm1.weight", "norm2.weight")))]


@pytest.mark.slow
def test_it_resumes_to_the_bit(tmp_path: Path) -> None:
    """Also from before the first layer's bias is no longer trained to after it, at step 9."""
    cfg = on_few_images(f"trainer.epochs={EPOCHS}")
    for name, stops in (("whole", ()), ("resumed", (5, 10))):
        folder = tmp_path / name
        folder.mkdir()
        for number, stop in enumerate((*stops, None)):
            run(cfg, folder, name="job", manner=Manner(resume=number > 0, until_steps=stop))
    whole, resumed = (json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("whole", "resumed"))
    for key in ("initial_weights_sha256", "weights_sha256", "metrics"):
        assert whole[key] == resumed[key], key
    assert len(resumed["sessions"]) == 3
