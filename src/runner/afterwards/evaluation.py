"""The weights of a finished run, scored again: by the run's own evaluation, and class by class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from omegaconf import DictConfig
from torch import Tensor

from runner import digest
from runner.afterwards.classes import ClassTables, by_class, calibration
from runner.afterwards.loaded import fill
from runner.averages import NoAverages
from runner.batch import map_tensors
from runner.composition import Composed, compile_networks, compose
from runner.config import build
from runner.data.source import AnySpec, Arrays
from runner.data.spec_record import recorded
from runner.metrics import Metrics
from runner.metrics.sample_mean import SampleMean
from runner.numerics import numerics, resolve_device
from runner.observers.heat_map import heat_map
from runner.observers.pictures import grid, to_pixels
from runner.problem import Refused
from runner.state import State
from runner.weights_file import WeightsFile

TABLES = "by_class"
MOST_CLASSES = 1000  # of which each is told
PICTURED_SAMPLES = 16


@dataclass(frozen=True)
class Evaluation:
    """What the test part says of ``weights``; ``metrics`` and ``tables`` are named as a run's: ``test/accuracy``.

    ``drawn`` has grids of pictures that the task makes of the first samples.

    ``data`` has the digest of the data and the size of the part; ``same`` says whether the metrics that the run has,
    too, are its own to the bit, None where it measured none of these weights on these data.
    """

    weights: WeightsFile
    metrics: Mapping[str, float]
    tables: Mapping[str, Tensor]
    data: Mapping[str, Any]
    class_names: tuple[str, ...]
    same: bool | None
    drawn: Mapping[str, Tensor]

    def pictures(self) -> dict[str, Tensor]:
        """(C, H, W) in [0, 1] by name: the confusion matrices, and what the task draws of the first test samples."""
        tables = {f"{name.replace('/', '_')}_confusion_matrix": table for name, table in self.confusion().items()}
        return {name: heat_map(table, names=self.class_names) for name, table in tables.items()} | dict(self.drawn)

    def confusion(self) -> dict[str, Tensor]:
        """Counts (K, K) by what was scored: "test", of several sets "test/near" and "test/far"."""
        return self._tables("confusion")

    def _tables(self, kind: str) -> dict[str, Tensor]:
        end = f"/{TABLES}_{kind}"
        return {name.removesuffix(end): table for name, table in self.tables.items() if name.endswith(end)}

    def content(self) -> dict[str, Any]:
        """As JSON has it."""
        reliability = self._tables("calibration")
        return {
            "checkpoint": str(self.weights.path),
            "step": self.weights.step,
            "data": dict(self.data),
            "metrics": dict(self.metrics),
            "same_as_run": self.same,
            "classes": {name: by_class(table, self.class_names) for name, table in self.confusion().items()},
            "confusion_matrix": {name: table.tolist() for name, table in self.confusion().items()},
            "calibration": {name: calibration(bins) for name, bins in reliability.items()},
            "tables": {name: table.tolist() for name, table in self.tables.items() if f"/{TABLES}_" not in name},
        }


def evaluate(
    cfg: DictConfig,
    weights: WeightsFile,
    manifest: Mapping[str, Any],
    *,
    other_data: bool = False,
    normalise_as_run: bool = True,
    final: bool = False,
) -> Evaluation:
    """Score ``weights`` on the test part of ``cfg``, the configuration of the run of ``manifest``.

    ``other_data``: of another data set, which must fit the model, and is normalised as the run's data were, or as
    ``cfg`` says. ``final``: the weights are those of the run's end, whose scores the manifest has.
    Raises ``Refused`` for data that do not fit or are not there, and ``ValueError`` for weights that do not.
    """
    refuse_lacking(cfg)
    if other_data:
        _adapt(cfg, manifest, normalise_as_run=normalise_as_run)
    trainer = cfg.trainer
    device = resolve_device(trainer.device)
    threads = manifest.get("threads") if trainer.threads is None else trainer.threads
    with numerics(device, threads=threads, tf32=trainer.tf32, deterministic=trainer.deterministic):
        made = compose(build.tentative(cfg), device=device, state=State())
        session = made.session
        fill(session.task, weights)
        session.averages = NoAverages()  # the weights are what is to be scored
        compile_networks(session.task, trainer.compile)
        session.metrics = _with_tables(session.metrics, made.splits.measured()).to(device)
        scores = session.evaluate("test", weights.step or 0)
        drawn = _drawn(made)
    same_data = made.splits.digest == manifest.get("data", {}).get("sha256")
    return Evaluation(
        weights=weights,
        metrics=scores,
        tables=session.tables,
        data={"sha256": made.splits.digest, "size": made.data.size("test")},
        class_names=made.splits.class_names,
        same=_same(scores, manifest.get("metrics") or {}) if final and same_data else None,
        drawn=drawn,
    )


def _same(scores: Mapping[str, float], own: Mapping[str, float]) -> bool | None:
    """Whether the metrics that both have are the same to the bit; None where they share none."""
    both = scores.keys() & own.keys()
    one, other = (digest.of_metrics({name: metrics[name] for name in both}) for metrics in (scores, own))
    return one == other if both else None


@torch.inference_mode()
def _drawn(made: Composed) -> dict[str, Tensor]:
    task = made.session.task.eval()
    sample = map_tensors(lambda tensor: tensor[:PICTURED_SAMPLES], made.data.first("test"))
    made.session.randomness.reseed("pictures", 0)
    mean, std = made.splits.mean, made.splits.std
    pictures = task.pictures(sample)
    return {name: grid(to_pixels(some[:PICTURED_SAMPLES], mean=mean, std=std)) for name, some in pictures.items()}


def digest_of_test_part(cfg: DictConfig) -> str:
    """Of the test part that ``cfg`` scores on: of its tensors; of files that are read one by one, of all the data."""
    splits = build.load_splits(cfg)
    return digest.of_tensors(splits.test.tensors) if isinstance(splits.test, Arrays) else splits.digest


def refuse_lacking(cfg: DictConfig) -> None:
    """Raises ``Refused`` with all that the data set of ``cfg`` lacks."""
    problems = build.build_source(cfg.dataset).problems()
    if problems:
        raise Refused([f"dataset.{problem.line()}" for problem in problems])


def _adapt(cfg: DictConfig, manifest: Mapping[str, Any], *, normalise_as_run: bool) -> None:
    """Raises ``Refused`` for data of another shape."""
    data = manifest.get("data", {})
    splits = build.load_splits(cfg)
    ours, theirs = recorded(splits.spec), data.get("spec")
    if theirs is not None and ours is not None:
        _refuse_other_shape(splits.spec, ours, theirs)
    for key in ("mean", "std"):
        if normalise_as_run and key in cfg.dataset and data.get(key):
            cfg.dataset[key] = data[key]
    cfg.trainer.batch_size = min(cfg.trainer.batch_size, len(splits.train))  # nothing is trained


def _refuse_other_shape(spec: AnySpec, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    differing = [
        f"{key} {ours.get(key)} instead of {theirs.get(key)}"
        for key in dict.fromkeys([*theirs, *ours])
        if _as_json(ours.get(key)) != _as_json(theirs.get(key)) and key not in ("ignore_index", "max_boxes")
    ]
    if differing:
        text = f"dataset: these {spec.kind} do not fit the model: {', '.join(differing)}"
        raise Refused([f"{text}; choose data of the same shape, or set what differs: dataset.<key>=<value>"])


def _as_json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _with_tables(metrics: Metrics, measured: Mapping[str, Any]) -> Metrics:
    count = measured["num_classes"]
    if not 2 <= count <= MOST_CLASSES:
        return metrics
    tables = ClassTables(count, ignore_index=measured["ignore_index"])
    return Metrics({**metrics.metrics, TABLES: cast(SampleMean, tables)})


def chosen_data(choices: Mapping[str, str], cfg: DictConfig) -> str:
    """The option that chose the data, or their class."""
    return choices.get("dataset") or str(cfg.dataset.get("_target_", "data")).rpartition(".")[2].lower()


def free_name(folder: Path, name: str) -> Path:
    """Claim ``name.json`` in ``folder``, or ``name.2.json`` and so on: an empty file that is nobody else's."""
    folder.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        file = folder / (f"{name}.json" if number == 1 else f"{name}.{number}.json")
        try:
            file.touch(exist_ok=False)
        except FileExistsError:
            number += 1
        else:
            return file
