"""The five laws, to the bit: for every task, precision and schedule.

    interrupted = uninterrupted      observed = unobserved      a job of a sweep = that job alone
    restored = saved                 the same again = the same

Each has a test that takes its guard away and sees it broken. The whole grid is in the slow tier.
"""

from __future__ import annotations

import csv
import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import tiny
import torch
from torch import Tensor

from runner import checkpoint, tasks
from runner.config.conf_dir import conf_dir
from runner.data.augment import Samples
from runner.data.flips import Flips
from runner.data.sources import ShapeVolumes
from runner.losses import Dice
from runner.models import ResidualUNet3D
from runner.observers import Console, CsvFiles, Images, TensorBoard, digests
from runner.observers.digests import Digests
from runner.observers.observer import EvaluationRecord, Outcome, RunInfo, StepRecord
from runner.randomness import ProcessGenerators, Randomness
from runner.results.parting import WALL_CLOCK
from runner.session import Session
from runner.stopping import EarlyStopping
from runner.tasks import Segmentation

Settings = Mapping[str, Any]
PRECISIONS = ("fp32", "bf16", "fp16")
KEYS = ("kind", "precision", "schedule", "batch_size", "micro_batches")
SLOWEST = "detection"  # under one schedule: the others act on all tasks alike
GRID = [
    place
    for place in itertools.product(tiny.TASKS, PRECISIONS, tiny.SCHEDULES, [5], [1])
    if place[0] != SLOWEST or place[2] == "cosine"
]
ACCUMULATED = [
    *itertools.product(tiny.TASKS, PRECISIONS, ["cosine"], [6], [2])
]  # 22 samples in batches of 6: no piece of one
HANDFUL = [
    ("classification", "fp16", "plateau", 6, 2),
    ("gan", "bf16", "cosine", 5, 1),
    ("reconstruction", "fp32", "one_cycle", 5, 1),
]
everywhere = pytest.mark.parametrize(
    "settings",
    [
        pytest.param(
            dict(zip(KEYS, place, strict=True)),
            id="-".join(map(str, place)),
            marks=() if place in HANDFUL else pytest.mark.slow,
        )
        for place in dict.fromkeys([*HANDFUL, *GRID, *ACCUMULATED])
    ],
)

each_kind = pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow if kind == SLOWEST else ()) for kind in tiny.TASKS]
)


def test_the_grid_is_whole() -> None:
    assert {name.lower() for name in tasks.__all__} == {*tiny.TASKS, "task"}
    assert {file.stem for file in (conf_dir() / "scheduler").glob("*.yaml")} == set(tiny.SCHEDULES)


def session(folder: Path | None = None, *, kind: str = "classification", **settings: Any) -> Session:
    """With everything that remembers: best scores, and a rule to stop by that lets the training go on."""
    if folder is not None:
        folder.mkdir(exist_ok=True)
    monitor = tiny.monitor_of(kind)
    rules = {"early": EarlyStopping(monitor=monitor, patience_evaluations=9)}
    best = {monitor.partition("/")[2]: "min"}
    given: dict[str, Any] = {"best": best, "stopping": rules} | settings
    return tiny.session(kind, folder=folder, **given)


def trained(folder: Path | None = None, *, until_steps: int | None = None, **settings: Any) -> Session:
    made = session(folder, **settings)
    made.plan = made.plan.until(until_steps)
    made.train()
    made.observers.finished(Outcome("completed" if until_steps is None else "interrupted", made.state.step, {}))
    return made


# --- interrupted = uninterrupted

STOPS = (1, 3, 5, 6, 12)  # of 14 steps, 5 an epoch: at the first, in an epoch, at its end and after it


def interrupted(folder: Path, *stops: int, **settings: Any) -> Session:
    """Left at each of ``stops``, and gone on with by objects of its own."""
    for step in stops:
        assert trained(folder, until_steps=step, **settings).state.step == step
    return trained(folder, **settings)


@everywhere
def test_interrupted_is_uninterrupted(tmp_path: Path, settings: Settings) -> None:
    whole = trained(tmp_path / "whole", **settings)
    resumed = interrupted(tmp_path / "resumed", *STOPS, **settings)
    assert resumed.state.step == 14
    assert resumed.state.best
    assert tiny.differing(whole, resumed) == []


@pytest.mark.parametrize("order", ["alternated", "in_sequence", "mixed"])
def test_interrupted_is_uninterrupted_over_several_sets(tmp_path: Path, order: str) -> None:
    def settings() -> dict[str, Any]:
        return {"parts": tiny.several(order), "best": {"far/loss": "min"}, "observers": [CsvFiles()]}

    whole = trained(tmp_path / "whole", **settings())
    resumed = interrupted(tmp_path / "resumed", *STOPS, **settings())
    assert list(resumed.state.best) == ["valid/far/loss"]
    assert tiny.differing(whole, resumed) == []
    assert table(tmp_path / "whole" / "history.csv") == table(tmp_path / "resumed" / "history.csv") != []


def test_interrupted_is_uninterrupted_on_volumes(tmp_path: Path) -> None:
    parts = ShapeVolumes(image_size=12, train_size=tiny.SAMPLES, valid_size=4, test_size=4).load()

    def settings() -> dict[str, Any]:
        torch.manual_seed(0)
        model = ResidualUNet3D(in_channels=1, num_classes=3, channels=2, levels=2, layer_order="cbe")
        return {"kind": "segmentation", "parts": parts, "task": Segmentation(model, Dice()), "augmentation": Flips()}

    whole = trained(tmp_path / "whole", **settings())
    for step in (1, 6, None):
        resumed = trained(tmp_path / "resumed", until_steps=step, **settings())
    assert resumed.state.step == 14
    assert tiny.differing(whole, resumed) == []


def table(path: Path) -> list[dict[str, str]]:
    """What the clock has no part in."""
    with path.open() as file:
        return [{key: row[key] for key in row if key not in WALL_CLOCK} for row in csv.DictReader(file)]


@pytest.mark.slow
@each_kind
def test_an_interrupted_run_leaves_the_files_of_an_uninterrupted_one(tmp_path: Path, kind: str) -> None:
    def watched() -> dict[str, Any]:
        return {"kind": kind, "observers": [CsvFiles(), Digests()]}

    trained(tmp_path / "whole", **watched())
    for step in (*STOPS, None):
        trained(tmp_path / "resumed", until_steps=step, **watched())
    for name in ("history.csv", "steps.csv"):
        assert table(tmp_path / "whole" / name) == table(tmp_path / "resumed" / name) != []
    whole, resumed = ((tmp_path / name / "digests.jsonl").read_bytes() for name in ("whole", "resumed"))
    assert whole == resumed != b""
    for file in (tmp_path / "whole").glob("*.pt"):
        one, other = (tiny.leaves(checkpoint.read(tmp_path / name / file.name)) for name in ("whole", "resumed"))
        assert tiny.differing_leaves(one, other) == [], file.name


def hasty() -> dict[str, EarlyStopping]:
    """Nothing improves by so much: ends the training at its second evaluation, step 10."""
    return {"early": EarlyStopping(patience_evaluations=1, min_delta=9.0)}


@pytest.mark.parametrize("stops", [(9,), (4, 10)])
def test_a_training_that_a_rule_ends_resumes_exactly(tmp_path: Path, stops: tuple[int, ...]) -> None:
    whole = trained(stopping=hasty())
    for step in stops:
        trained(tmp_path, until_steps=step, stopping=hasty())
    resumed = trained(tmp_path, stopping=hasty())
    assert whole.state.step == resumed.state.step == 10
    assert whole.state.ended == resumed.state.ended != ""
    assert tiny.differing(whole, resumed) == []


PARTS = ("task", "state", "stopping", "optimizer", "scheduler", "scaler")


@pytest.mark.parametrize("left_out", PARTS)
def test_interruption_shows_when_a_part_is_not_restored(tmp_path: Path, left_out: str) -> None:
    """The guard is the checkpoint: one part is put back to what it was at step 0 after everything was restored."""
    settings: dict[str, Any] = {"precision": "fp16", "schedule": "plateau"}
    whole = trained(**settings)
    trained(tmp_path, until_steps=7, **settings)
    resumed, fresh = session(tmp_path, **settings), session(**settings)

    def part(made: Session) -> Any:
        own = {"task": made.task, "state": made.state, "stopping": made.stopping}
        return own[left_out] if left_out in own else getattr(made.updates["model"], left_out)

    part(resumed).load_state_dict(part(fresh).state_dict())
    resumed.train()
    assert tiny.differing(whole, resumed)


def test_interruption_shows_when_draws_are_not_a_function_of_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard is the reseeding before each step: without it dropout draws what the process drew not before."""
    monkeypatch.setattr(Randomness, "reseed", lambda *_: None)
    whole = trained()
    assert tiny.differing(whole, interrupted(tmp_path, 7))


# --- observed = unobserved


class Inquisitive:
    """Looks at everything, in the ways that observers do, and draws random numbers."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    def started(self, run: RunInfo) -> None:
        self.run = run

    def logged(self, record: StepRecord) -> None:
        self.seen.append((record, torch.rand(3)))

    def evaluated(self, record: EvaluationRecord) -> None:
        self.seen += [record, *(tensor.float().norm() for tensor in self.run.task.state_dict().values())]

    def finished(self, outcome: Outcome) -> None:
        self.seen.append(outcome)


@everywhere
def test_observed_is_unobserved(tmp_path: Path, settings: Settings) -> None:
    """Nor does it matter how often the state is saved."""
    observers = [Inquisitive(), CsvFiles(), Digests(), Images(count=4), Console(plain=True)]
    watched = trained(tmp_path, observers=observers, save_every_s=0.0, **settings)
    assert tiny.differing(trained(**settings), watched) == []


@pytest.mark.slow
@each_kind
def test_observed_by_tensorboard_is_unobserved(tmp_path: Path, kind: str) -> None:
    watched = trained(tmp_path, kind=kind, observers=[TensorBoard(histograms=["weights", "gradients"])])
    assert tiny.differing(trained(kind=kind), watched) == []


class Touching(Inquisitive):
    def evaluated(self, record: EvaluationRecord) -> None:  # noqa: ARG002
        with torch.no_grad():
            next(self.run.task.parameters()).mul_(1 + 1e-6)


def test_observation_shows_when_it_touches() -> None:
    """The guard is that an observer only looks: this one changes a weight by a millionth."""
    assert tiny.differing(trained(), trained(observers=[Touching()]))


def test_observation_shows_when_draws_are_not_a_function_of_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard is the reseeding before each step: without it an observer that draws shifts what dropout draws."""
    monkeypatch.setattr(Randomness, "reseed", lambda *_: None)
    torch.manual_seed(0)
    alone = trained()
    assert tiny.differing(alone, trained(observers=[Inquisitive()]))


# --- restored = saved


def parts_of(made: Session) -> dict[str, Any]:
    assert isinstance(made.checkpoints, checkpoint.FolderCheckpoints)
    return tiny.leaves({name: part.state_dict() for name, part in made.checkpoints.parts.items()})


@everywhere
def test_restored_is_saved(tmp_path: Path, settings: Settings) -> None:
    """Every part, with dtype and device; and the weights score what was recorded of them."""
    random.seed(3)
    evaluated = 2 * session(**settings).plan.evaluate_every_steps
    saved = trained(tmp_path, until_steps=evaluated, observers=[Digests()], **settings)
    held = parts_of(saved)
    random.seed(4)
    restored = session(tmp_path, **settings)
    assert restored.state.step == evaluated
    assert tiny.differing_leaves(held, parts_of(restored)) == []
    assert tiny.differing_leaves(tiny.leaves(checkpoint.read(tmp_path / "last.pt")["parts"]), held) == []
    assert restored.evaluate("valid", evaluated).items() <= digests.read(tmp_path)[-1]["metrics"].items()


@pytest.mark.parametrize("left_out", [*PARTS, "generators"])
def test_restoration_shows_when_a_part_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left_out: str
) -> None:
    """The guard is ``load_state_dict`` of each part: one of them does nothing."""
    settings: dict[str, Any] = {"precision": "fp16", "schedule": "plateau"}
    saved = trained(tmp_path, until_steps=7, **settings)
    held = parts_of(saved)
    update = saved.updates["model"]
    kinds = {"task": saved.task, "state": saved.state, "stopping": saved.stopping, "generators": ProcessGenerators()}
    kinds |= {name: getattr(update, name) for name in ("optimizer", "scheduler", "scaler")}
    monkeypatch.setattr(type(kinds[left_out]), "load_state_dict", lambda *_: None)
    random.random()
    assert tiny.differing_leaves(held, parts_of(session(tmp_path, **settings)))


def test_restoration_shows_when_the_weights_are_others(tmp_path: Path) -> None:
    """The guard is the comparison of scores: those of the weights from step 0 are not those recorded at step 10."""
    trained(tmp_path, until_steps=10, observers=[Digests()])
    assert session().evaluate("valid", 10).items().isdisjoint(digests.read(tmp_path)[-1]["metrics"].items())


# --- the same again = the same


@everywhere
def test_the_same_again_is_the_same(settings: Settings) -> None:
    assert tiny.differing(trained(**settings), trained(**settings)) == []


@each_kind
def test_another_seed_is_another_training(kind: str) -> None:
    found = tiny.differing(trained(kind=kind), trained(kind=kind, seed=1))
    assert any(name.startswith("/task") for name in found)


@dataclass(frozen=True)
class FromAnywhere:
    """Draws, but not from the seed."""

    per_example: ClassVar[bool] = False

    def draw(self, samples: Samples) -> tuple[Tensor, ...]:  # noqa: ARG002
        return ()

    def __call__(self, images: Tensor, *draws: Tensor) -> Tensor:  # noqa: ARG002
        return images.roll(random.SystemRandom().randrange(1, 6), dims=-1)


def test_repetition_shows_when_a_draw_does_not_follow_from_the_seed() -> None:
    """The guard is that all draws come from ``Randomness``: those of this augmentation do not."""
    assert tiny.differing(trained(augmentation=FromAnywhere()), trained(augmentation=FromAnywhere()))
