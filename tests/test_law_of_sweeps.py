"""The law of sweeps, to the bit: a job that runs in a process after other jobs is that job alone."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from cli.terminal import DATA
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from runner import checkpoint
from runner.config.conf_dir import conf_dir
from runner.config.schema import register
from runner.randomness import Randomness
from runner.run import run

SMALL = (
    *("metrics=[]", "logger=[]", "trainer.batch_size=3", "trainer.workers=0"),
    *("trainer.steps=5", "trainer.evaluate_every_steps=2"),
)
IMAGES = ("dataset=synthetic", *DATA)
FEW = ("dataset.train_size=8", "dataset.valid_size=4", "dataset.test_size=4")
PAIRS = ("dataset=shape_pairs", "dataset.image_size=16", *FEW)
BOXES = ("dataset=shapes_boxes", "dataset.image_size=16", *FEW)
MASKS = ("dataset=shapes_masks", "dataset.image_size=16", *FEW)
DATA_OF = {
    "cyclegan": PAIRS,
    "detection": BOXES,
    "pix2pix": PAIRS,
    "segmentation": MASKS,
    "seq2seq": ("dataset=sequences", *FEW),
}
"""Where it is not images with classes."""
TASKS = {
    "aae": ("task=aae", "model.channels=[2]", "model.hidden=[4]", "model.categorical=true", "task.pictures_count=2"),
    "classification": (
        *("model=mlp", "model.hidden=[4]", "model.dropout=0.2", "~trainer.best.accuracy"),
        *("augmentation=crop_flip", "augmentation.padding=1", "stopping=early"),
    ),
    "cyclegan": ("task=cyclegan", "model.width=2", "model.blocks=1", "model.discriminator_width=2", "task.pool_size=3"),
    "detection": (
        *("task=detection", "model.backbone=resnet18", "model.strides=[8]", "model.width=8", "model.head_width=8"),
        *("model.options.rpn_batch_size_per_image=8", "~trainer.best.map_50"),
    ),
    "gan": ("task=gan", "model.width=2", "model.latent_dim=2", "task.pictures_count=2"),
    "novelty": ("task=novelty", "dataset.novel_classes=[2]", "task.score=mahalanobis", "model.channels=[2]"),
    "pix2pix": ("task=pix2pix", "model.width=2", "model.levels=2", "model.discriminator_width=2"),
    "reconstruction": ("task=reconstruction", "model.channels=[2]", "model.latent_dim=2", "model.norm=batch"),
    "segmentation": ("task=segmentation", "model.channels=2", "model.levels=1", "~trainer.best.iou"),
    "seq2seq": ("task=seq2seq", "model.hidden_dim=4", "task.teacher_forcing=0.5", "~trainer.best.exact_match"),
    "vae": ("task=vae", "model.channels=[2]", "model.latent_dim=2", "task.pictures_count=2"),
}
FEWER = {
    **{"cyclegan": 2, "detection": 2},
    **dict.fromkeys(("gan", "pix2pix", "reconstruction", "segmentation", "seq2seq", "vae"), 5),
}
"""Schedules; the other three tasks have all of them."""
SCHEDULES: dict[str, tuple[str, ...]] = {  # what each needs to act in five steps
    "constant": (),
    "cosine": ("scheduler.warmup_steps=1",),
    "cyclic": ("scheduler.rise_epochs=null", "scheduler.rise_steps=1"),
    "exponential": (),
    "linear": (),
    "multistep": ("scheduler.milestones_epochs=null", "scheduler.milestones_steps=[1,2]"),
    "one_cycle": (),
    "plateau": ("scheduler.patience_evaluations=0",),
    "step": ("scheduler.every_epochs=null", "scheduler.every_steps=1"),
    "warm_restarts": ("scheduler.first_cycle_epochs=null", "scheduler.first_cycle_steps=1"),
}
PRECISIONS = ("fp32", "bf16", "fp16")
MORE = ((), ("seed=1",), ("trainer.threads=2",), ("trainer.deterministic=true",), ("trainer.micro_batches=2",))
Job = tuple[str, ...]


def job(task: str, precision: str, schedule: str, *more: str) -> Job:
    monitor = [f"scheduler.monitor={tiny.monitor_of(task)}"] if schedule == "plateau" else []
    chosen = (f"scheduler={schedule}", *SCHEDULES[schedule], *monitor, f"trainer.precision={precision}")
    return (*SMALL, *DATA_OF.get(task, IMAGES), *TASKS[task], *chosen, *more)


JOBS = [
    job("classification", "fp32", "cosine", "trainer.threads=2", "seed=1"),
    job("gan", "bf16", "constant", "trainer.deterministic=true"),
    job("reconstruction", "fp16", "plateau", "trainer.micro_batches=2"),
    job("classification", "bf16", "one_cycle"),
]
"""One of each kind, with settings that a process could keep: threads, determinism, precision, random numbers."""


def done(folder: Path, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """What is left of the jobs, run one after the other in this process."""
    left = []
    for number, overrides in enumerate(jobs):
        own = folder / str(number)
        own.mkdir(parents=True)
        run(composed(overrides).copy(), own, name="job")
        left.append(left_in(own))
    return left


@functools.lru_cache(maxsize=len(SCHEDULES))
def composed(overrides: Job) -> DictConfig:
    """Half a second, in which a job of this size could be trained."""
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose("config", overrides=list(overrides))


def left_in(folder: Path) -> dict[str, Any]:
    """All that a run leaves in numbers, leaf by leaf."""
    manifest = json.loads((folder / "manifest.json").read_text())
    keys = (
        "metrics",
        "weights_sha256",
        "initial_weights_sha256",
        "first_batch_sha256",
        "threads",
        "precision",
        "environment",
    )
    kept = {file.name: checkpoint.read(file) for file in sorted(folder.glob("checkpoints/*.pt"))}
    lines = (folder / "digests.jsonl").read_text()
    return tiny.leaves({"manifest": {key: manifest[key] for key in keys}, "checkpoints": kept, "digests": lines})


def parted(one: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]]) -> list[list[str]]:
    return [tiny.differing_leaves(*pair) for pair in zip(one, other, strict=True)]


@pytest.mark.slow
def test_a_job_of_a_sweep_is_that_job_alone(tmp_path: Path) -> None:
    """Each comes first once: then it is alone, in all that a process can remember of other jobs."""
    forwards = done(tmp_path / "forwards", JOBS)
    backwards = done(tmp_path / "backwards", JOBS[::-1])
    assert parted(forwards, backwards[::-1]) == [[] for _ in JOBS]
    assert len({left["/digests"] for left in forwards}) == len(JOBS)


@pytest.mark.slow
@pytest.mark.parametrize("task", tiny.TASKS)
def test_every_job_of_a_sweep_is_that_job_alone(tmp_path: Path, task: str) -> None:
    """Each schedule under one precision, another one for each task: over all tasks, every pair."""
    first = tiny.TASKS.index(task)
    jobs = [
        job(task, PRECISIONS[(first + number) % 3], schedule, *MORE[number % len(MORE)])
        for number, schedule in enumerate(SCHEDULES)
    ]
    jobs = [*jobs[first:], *jobs[:first]][: FEWER.get(task)]
    forwards = done(tmp_path / "forwards", jobs)
    backwards = done(tmp_path / "backwards", jobs[::-1])
    assert parted(forwards, backwards[::-1]) == [[] for _ in jobs]


@pytest.mark.slow
def test_the_last_job_of_a_sweep_is_that_job_in_a_process_of_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "alone"
    command = [sys.executable, "-m", "runner", *JOBS[-1], f"hydra.run.dir={folder}"]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    assert parted([left_in(folder)], done(tmp_path / "sweep", JOBS)[-1:]) == [[]]


def test_all_schedules_are_here() -> None:
    assert {file.stem for file in (conf_dir() / "scheduler").glob("*.yaml")} == set(SCHEDULES)
    assert set(TASKS) == set(tiny.TASKS)


@pytest.mark.slow
def test_the_law_of_sweeps_shows_when_draws_go_on_from_job_to_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard is that each job puts the generators where its seed says: here none does."""
    monkeypatch.setattr(Randomness, "reseed", lambda *_: None)
    monkeypatch.setattr(Randomness, "seed_process", lambda *_: None)
    torch.manual_seed(0)
    alone = done(tmp_path / "alone", JOBS[-1:])
    torch.manual_seed(0)
    after = done(tmp_path / "after", JOBS[-2:])
    assert any(parted(alone, after[-1:]))


@pytest.mark.slow
def test_the_law_of_sweeps_shows_when_settings_are_not_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard is that ``numerics`` restores what it found: here it stays as the job before left it."""

    @contextmanager
    def kept(*_: object, threads: int | None = None, **__: object) -> Any:
        if threads is not None:
            torch.set_num_threads(threads)
        yield

    before = torch.get_num_threads()
    alone = done(tmp_path / "alone", JOBS[-1:])
    monkeypatch.setattr("runner.run.numerics", kept)
    try:
        _, after = done(tmp_path / "after", [JOBS[0], JOBS[-1]])
    finally:
        torch.set_num_threads(before)
    assert parted(alone, [after]) == [["/manifest/threads"]]
