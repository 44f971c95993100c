"""A finished run as a model to use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from runner import initial
from runner.afterwards.weights import LAST, of_checkpoint, refuse_damaged, weights_of
from runner.composition import share_batch_norm, store_channels_last
from runner.config import build
from runner.config.schema import Config
from runner.data.prepare import Prepare
from runner.data.source import AnySpec, Arrays, MaskSpec, Splits
from runner.data.spec_record import restored
from runner.numerics import resolve_device
from runner.randomness import Randomness
from runner.results.manifest import read_json
from runner.tasks.task import Task
from runner.weights_file import UnusableWeights, WeightsFile


@dataclass(frozen=True)
class LoadedRun:
    """A model with the weights of a run, in eval mode, and what it takes to use it.

    ``model`` is the network, of a task with several the task itself; ``step`` the completed updates of the weights.
    Called with stored images, uint8 (B, C, H, W), it gives what the model makes of them.
    """

    folder: Path
    config: DictConfig
    task: Task
    spec: AnySpec
    class_names: tuple[str, ...]
    mean: Sequence[float]  # per channel, of pixels scaled to [0, 1]; so is ``std``
    std: Sequence[float]
    device: torch.device
    step: int | None

    @property
    def model(self) -> nn.Module:
        network = getattr(self.task, "model", self.task)
        assert isinstance(network, nn.Module), "a task's children are networks"
        return network

    def prepare(self, images: Tensor) -> Tensor:
        """Stored images, uint8 (B, C, *S), as the model was trained on them: on its device, scaled, normalised."""
        images = images.to(self.device)
        masks = (images[:, 0],) if isinstance(self.spec, MaskSpec) else ()  # which it would look at
        prepared: Tensor = self._prepare.evaluate((images, *masks))[0]
        return prepared

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Any:
        """Raises ``ValueError`` for images that the model does not take, and for a run of several networks."""
        if self.model is self.task:
            names = ", ".join(f"run.task.{name}" for name, _ in self.task.named_children())
            raise ValueError(f"{type(self.task).__name__} has no single network; call the one that is meant: {names}")
        try:
            return self.model(self.prepare(images))
        except RuntimeError as error:
            facts = self.spec.facts()
            shape = (facts.get("in_channels"), *facts.get("image_size", ()))
            if images.dtype == torch.uint8 and tuple(images.shape[1:]) == shape:
                raise
            wanted = f"uint8 (B, {', '.join(map(str, shape))})"
            got = f"{str(images.dtype).removeprefix('torch.')} {tuple(images.shape)}"
            raise ValueError(f"{type(self.model).__name__} takes images {wanted}, got {got}: {error}") from error

    @property
    def _prepare(self) -> Prepare:
        return Prepare(
            self.mean or None,
            self.std or None,
            spec=self.spec,
            randomness=Randomness(self.config.seed),
            device=self.device,
            channels_last=self.config.trainer.channels_last,
        )


def load_run(folder: str | Path, *, checkpoint: str = LAST, device: str = "cpu") -> LoadedRun:
    """The model of a run or an archive, rebuilt from its own configuration; its data are not needed.

    ``checkpoint`` is ``last`` (what the run's test scores are of), ``best_<metric>``, or a file of weights.
    Raises ``ValueError`` for a folder that holds no run, and for weights that are damaged or do not fit.
    """
    path = Path(folder).expanduser()
    file = path / ".hydra" / "config.yaml"
    if not file.is_file():
        raise ValueError(f"{path} is neither a run nor an archive: it has no .hydra/config.yaml")
    refuse_damaged(path)
    defaults = OmegaConf.to_container(OmegaConf.structured(Config))  # of what runs of an older version do not say
    config = OmegaConf.merge(OmegaConf.create(defaults), OmegaConf.load(file))
    assert isinstance(config, DictConfig)
    return rebuilt(path, config, weights_of(path, checkpoint), device=resolve_device(device))


def rebuilt(folder: Path, config: DictConfig, weights: WeightsFile, *, device: torch.device) -> LoadedRun:
    """The task that ``config`` describes, with ``weights``; random states are as before.

    Raises ``ValueError`` for weights that do not fit.
    """
    data = told(config, read_json(folder / "manifest.json"))
    with torch.random.fork_rng(devices=[]):
        model = build.build_model(config, data.spec)
        task = build.build_task(config, model, build.build_loss(config, data.spec), data)
    if config.trainer.sync_batchnorm:
        share_batch_norm(task)
    fill(task, weights)
    task.to(device).eval()
    if config.trainer.channels_last:
        store_channels_last(task)
    return LoadedRun(
        folder=folder,
        config=config,
        task=task,
        spec=data.spec,
        class_names=data.class_names,
        mean=data.mean,
        std=data.std,
        device=device,
        step=weights.step,
    )


def fill(task: Task, weights: WeightsFile) -> None:
    """Give ``task`` all of its weights. Raises ``ValueError`` that names all that do not fit."""
    try:
        initial.load(task, initial.fit(task, weights))
    except UnusableWeights as error:
        raise ValueError(of_checkpoint(error)) from error


def told(config: DictConfig, manifest: Mapping[str, Any]) -> Splits:
    """What the parts are told of the data: from the manifest without the examples, else (an older one) the data."""
    data = manifest.get("data", {})
    spec = restored(data.get("spec"))
    if spec is None:
        return build.load_splits(config)
    none = Arrays(torch.empty(0))
    return Splits(
        train=none,
        valid=none,
        test=none,
        spec=spec,
        mean=data["mean"],
        std=data["std"],
        class_names=tuple(data["class_names"]),
        novel_classes=tuple(config.dataset.get("novel_classes") or ()),
    )
