"""Two processes train what one would: the same samples, losses and weights."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from together import together
from torch import Tensor, nn

from runner import gradients
from runner.batch import Batch
from runner.data.order import TrainingOrder
from runner.data.source import Splits
from runner.gradients import reached
from runner.losses import BinaryCrossEntropy
from runner.metrics import Metrics
from runner.metrics.factories import accuracy, recall
from runner.observers.observer import EvaluationRecord, Outcome, RunInfo, StepRecord
from runner.randomness import Randomness
from runner.ranks import Alone, Ranked, Ranks, rows_of
from runner.session import Session
from runner.state import NonFiniteLoss
from runner.tasks import GAN, Classification, Task


@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
@pytest.mark.parametrize("samples", [1, 2, 7, 24])
def test_every_row_belongs_to_one_rank(samples: int, world_size: int) -> None:
    rows = [range(samples)[rows_of(samples, rank=rank, world_size=world_size)] for rank in range(world_size)]
    assert list(itertools.chain(*rows)) == list(range(samples))
    assert max(map(len, rows)) - min(map(len, rows)) <= 1
    assert len(rows[0]) > 0


def test_the_samples_of_a_step_are_those_of_its_batch() -> None:
    order = TrainingOrder([9, 13], 5, order="alternated")
    batches = order.batches(randomness=Randomness(0))
    assert [order.samples_at(step) for step in range(12)] == [len(next(batches)) for _ in range(12)]


def test_ranks_draw_differently_where_a_network_draws_and_alike_elsewhere() -> None:
    first, second = (Randomness(3).of_rank(rank) for rank in (0, 1))
    drawn = []
    for randomness in (Randomness(3), first, second):
        randomness.reseed("step", 4)
        drawn.append(torch.rand(3))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[1], drawn[2])
    assert first.key("order", 2) == second.key("order", 2)


def test_unused_weights_are_found_in_the_graph() -> None:
    used, unused = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    loss = (used * 2).sum() + (unused.detach() * 3).sum()
    assert used in reached(loss)
    assert unused not in reached(loss)


def test_alone_is_the_identity() -> None:
    alone, weight = Alone(), torch.ones(2, requires_grad=True)
    loss = (weight * 3).sum()
    gradients = alone.gradients("train/loss", nn.Linear(1, 1))
    gradients.backward(loss, loss.detach(), inputs=None, last=True)
    assert gradients.total(loss) is loss
    assert weight.grad is not None
    assert weight.grad.tolist() == [3, 3]
    assert alone.begin((torch.zeros(5, 1),), 0) == 5
    assert alone.first(lambda: 7) == 7
    assert alone.due(lambda: True)


class Plain(Classification):
    """Neither batch norm nor dropout: what two processes compute is then what one does."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        layers = [nn.Flatten(), nn.Linear(tiny.PIXELS**2, 8), nn.ReLU(), nn.Linear(8, tiny.CLASSES)]
        super().__init__(nn.Sequential(*layers), nn.CrossEntropyLoss())
        self.seen: list[Tensor] = []

    def losses(self, batch: Batch) -> Any:
        self.seen.append(batch[0].clone())
        return super().losses(batch)


class PlainGAN(GAN):
    """Its noise is made of the images: what a rank draws by itself is its own."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        pair = tiny.Pair()
        pair.generator[1] = nn.Identity()
        pair.discriminator[3] = nn.Identity()
        super().__init__(pair, BinaryCrossEntropy())

    def _noise(self, like: Tensor) -> Tensor:
        return like.flatten(1)[:, :4]


class Halves(Plain):
    """A network of which one layer is never used."""

    def __init__(self) -> None:
        super().__init__()
        assert isinstance(self.model, nn.Sequential)
        self.model[0].unused = nn.Linear(2, 2)


PLAIN: dict[str, type[Task]] = {"classification": Plain, "gan": PlainGAN, "unused": Halves}
SETTINGS = [("classification", 7, 1), ("classification", 5, 2), ("gan", 5, 1), ("gan", 5, 2), ("unused", 5, 1)]
"""Tasks, samples of a batch and parts of it. The last batch has two samples; of 7 only one: a rank has none."""


THAWING = {"generator.0.*": 1.0, "discriminator.1.*": None}
"""Of the GAN, whose first epoch has 5 of 9 steps."""


@dataclass
class Notes:
    """An observer."""

    losses: list[dict[str, float]] = field(default_factory=list)
    scores: list[dict[str, float]] = field(default_factory=list)

    def started(self, run: RunInfo) -> None: ...

    def logged(self, record: StepRecord) -> None:
        self.losses.append(dict(record.losses))

    def evaluated(self, record: EvaluationRecord) -> None:
        self.scores.append(dict(record.metrics))

    def finished(self, outcome: Outcome) -> None: ...


def measures() -> dict[str, Any]:
    """One of our own, and one of torchmetrics'."""
    return {"accuracy": accuracy(num_classes=tiny.CLASSES), "recall": recall(num_classes=tiny.CLASSES)}


def trained(
    ranks: Ranked,
    kind: str,
    batch_size: int,
    micro_batches: int,
    *,
    parts: Splits | None = None,
    freeze: Mapping[str, float | None] | None = None,
) -> dict[str, Any]:
    """What a training of ``kind`` came to, on one rank."""
    task, notes = PLAIN[kind](), Notes()
    made = tiny.session(
        "gan" if kind == "gan" else "classification",
        task=task,
        batch_size=batch_size,
        micro_batches=micro_batches,
        steps=9,
        observers=[notes],
        ranks=ranks,
        metrics=Metrics({} if kind == "gan" else measures(), ranks=ranks),
        parts=parts,
        freeze=freeze,
    )
    made.train()
    seen = getattr(task, "seen", [])
    return {
        "losses": notes.losses,
        "scores": notes.scores,
        "weights": {name: tensor.numpy() for name, tensor in task.state_dict().items()},
        "seen": [image.numpy().tobytes() for images in seen for image in images],
        "test": made.evaluate("test", 9),
    }


class Diverging(Plain):
    """Of which one rank's loss is no number, in step 4."""

    def losses(self, batch: Batch) -> Any:
        for name, loss in super().losses(batch):
            yield name, loss * (math.nan if self.bad and len(self.seen) == 4 else 1)

    bad = False


class Stopping(Plain):
    """Of which one rank is asked to stop, in step 4."""

    ranks: Ranked

    def losses(self, batch: Batch) -> Any:
        yield from super().losses(batch)
        if len(self.seen) == 4 and isinstance(self.ranks, Ranks) and self.ranks.rank == 1:
            self.ranks.stop = "interrupted by SIGTERM"


def resumed(
    ranks: Ranked,
    kind: str,
    folder: Path,
    *,
    task: Callable[[], Task] | None = None,
    batch_size: int = 6,
    freeze: Mapping[str, float | None] | None = None,
) -> list[str]:
    """What differs on this rank between a training that was left off in the middle of an epoch and one that was not."""

    def session(name: str) -> Session:
        made = None if task is None else task()
        return tiny.session(kind, task=made, ranks=ranks, folder=folder / name, batch_size=batch_size, freeze=freeze)

    whole = session("whole")
    whole.train()
    half = session("half")
    half.plan = half.plan.until(7)
    half.train()
    again = session("half")
    assert again.state.step == 7
    again.train()
    assert again.state.step == whole.state.step == 14
    return tiny.differing(whole, again)


def diverged(ranks: Ranked) -> str:
    task = Diverging()
    task.bad = ranks.rank == 1
    with pytest.raises(NonFiniteLoss) as caught:
        tiny.session(task=task, ranks=ranks).train()
    return f"{caught.value} after {len(task.seen)} steps"


def stopped(ranks: Ranked) -> tuple[int, str]:
    task = Stopping()
    task.ranks = ranks
    made = tiny.session(task=task, ranks=ranks)
    made.train()
    return made.state.step, made.state.stop


def saved_by_the_clock(ranks: Ranked, folder: Path) -> int | None:
    """The step of the last checkpoint before the end, were one always due."""
    made = tiny.session(task=Plain(), ranks=ranks, folder=folder, save_every_s=1e-9, steps=3)
    saved: list[int] = []
    save, made.checkpoints.save = made.checkpoints.save, saved.append  # type: ignore[method-assign,assignment]
    made.train()
    save(3)
    return saved[0]


def averaged(ranks: Ranked) -> tuple[float, float]:
    """What moving averages score in the last evaluation of the training, and when they are evaluated after it."""
    notes = Notes()
    made = tiny.session(ranks=ranks, observers=[notes], ema_decay=0.9)
    made.train()
    return notes.scores[-1]["valid/loss"], made.evaluate("valid", made.state.step)["valid/loss"]


def everything(ranks: Ranked, folder: Path) -> dict[Any, Any]:
    made: dict[Any, Any] = {setting: trained(ranks, *setting) for setting in SETTINGS}
    made |= {kind: resumed(ranks, kind, folder / kind) for kind in ("classification", "gan")}
    made |= {"diverged": diverged(ranks), "stopped": stopped(ranks)}
    made |= {"frozen": trained(ranks, "gan", 5, 2, freeze=THAWING)}
    made |= {"frozen resumed": resumed(ranks, "classification", folder / "frozen", freeze={"0.*": 1, "1.*": 2})}
    made |= {"several": trained(ranks, "classification", 5, 1, parts=tiny.several())}
    made |= {"averaged": averaged(ranks)}
    return made | {"clock": saved_by_the_clock(ranks, folder / f"clock{ranks.rank}")}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[Any, Any]], Path]:
    """What two ranks came to, and where they wrote."""
    folder = tmp_path_factory.mktemp("ranks")
    return together(everything, folder, folder=folder), folder


def furthest(one: Sequence[dict[str, float]], other: Sequence[dict[str, float]]) -> float:
    assert [list(row) for row in one] == [list(row) for row in other]
    return max(abs(a[name] - b[name]) for a, b in zip(one, other, strict=True) for name in a)


@pytest.mark.slow
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_two_train_what_one_does(pair: tuple[list[Any], Path], setting: tuple[str, int, int]) -> None:
    alone = trained(Alone(), *setting)
    first, second = (made[setting] for made in pair[0])
    assert len(alone["losses"]) > 3
    assert furthest(alone["losses"], first["losses"]) < 1e-5
    assert furthest(alone["scores"], first["scores"]) < 1e-5
    assert furthest([alone["test"]], [first["test"]]) < 1e-5
    assert first["scores"] == second["scores"]
    assert list(alone["weights"]) == list(first["weights"])
    for name, weight in alone["weights"].items():
        assert abs(weight - first["weights"][name]).max() < 1e-5, name
        assert (first["weights"][name] == second["weights"][name]).all(), name


@pytest.mark.slow
def test_what_thaws_is_trained_by_all(pair: tuple[list[Any], Path]) -> None:
    alone, never = (trained(Alone(), "gan", 5, 2, freeze=freeze) for freeze in (THAWING, dict.fromkeys(THAWING)))
    first, second = (made["frozen"] for made in pair[0])
    assert furthest(alone["losses"], first["losses"]) < 1e-5
    for name, weight in alone["weights"].items():
        assert abs(weight - first["weights"][name]).max() < 1e-5, name
        assert (first["weights"][name] == second["weights"][name]).all(), name
    assert (alone["weights"]["generator.0.weight"] != never["weights"]["generator.0.weight"]).any()
    assert [made["frozen resumed"] for made in pair[0]] == [[], []]


@pytest.mark.slow
def test_two_train_on_several_sets_what_one_does(pair: tuple[list[Any], Path]) -> None:
    alone = trained(Alone(), "classification", 5, 1, parts=tiny.several())
    first, second = (made["several"] for made in pair[0])
    assert {"valid/accuracy", "valid/near/accuracy", "valid/far/recall"} <= set(alone["scores"][0])
    assert furthest(alone["losses"], first["losses"]) < 1e-5
    assert furthest(alone["scores"], first["scores"]) < 1e-5
    assert furthest([alone["test"]], [first["test"]]) < 1e-5
    assert sorted(first["seen"] + second["seen"]) == sorted(alone["seen"])


@pytest.mark.slow
def test_they_see_each_sample_once_and_augmented_alike(pair: tuple[list[Any], Path]) -> None:
    setting = ("classification", 5, 2)
    alone = trained(Alone(), *setting)
    first, second = (made[setting] for made in pair[0])
    assert len(alone["seen"]) == 4 * 5 + 2 + 4 * 5  # nine steps of 22 samples
    assert sorted(first["seen"] + second["seen"]) == sorted(alone["seen"])
    assert len(first["seen"]) - len(second["seen"]) == 8  # of five samples the first rank has three


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["classification", "gan"])
def test_going_on_gives_the_bits_of_never_having_stopped(pair: tuple[list[Any], Path], kind: str) -> None:
    """Batch norm and dropout included, on each rank."""
    assert [made[kind] for made in pair[0]] == [[], []]


@pytest.mark.slow
def test_averages_of_what_batch_norm_saw_are_those_of_the_first_rank(pair: tuple[list[Any], Path]) -> None:
    for made in pair[0]:
        in_training, afterwards = made["averaged"]
        assert in_training == afterwards


@pytest.mark.slow
def test_a_loss_that_is_no_number_on_one_rank_ends_all_before_the_step(pair: tuple[list[Any], Path]) -> None:
    assert [made["diverged"] for made in pair[0]] == ["train/loss became nan after 4 steps"] * 2


@pytest.mark.slow
def test_asked_one_all_stop_after_the_same_step(pair: tuple[list[Any], Path]) -> None:
    assert [made["stopped"] for made in pair[0]] == [(5, "interrupted by SIGTERM")] * 2


@pytest.mark.slow
def test_the_first_rank_says_when_it_is_time_to_save_and_saves(pair: tuple[list[Any], Path]) -> None:
    made, folder = pair
    assert made[0]["clock"] == made[1]["clock"] == 2
    assert (folder / "clock0" / "last.pt").is_file()
    assert not (folder / "clock1").exists()


class Deep(Plain):
    """Enough layers for sums of three ranks to be rounded otherwise in another order."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        sizes = [tiny.PIXELS**2, 64, 48, 48]
        layers = [layer for pair in itertools.pairwise(sizes) for layer in (nn.Linear(*pair), nn.Tanh())]
        self.model = nn.Sequential(nn.Flatten(), *layers, nn.Linear(48, tiny.CLASSES))


def _left_alone(ddp: object) -> None:
    pass


def settled_and_not(ranks: Ranked, folder: Path) -> list[int]:
    """How much differs after going on, and how much would if torch arranged its messages when it likes to."""
    as_it_is = len(resumed(ranks, "classification", folder / "settled", task=Deep, batch_size=8))
    thawing = {"1.*": 1.0, "3.*": 3.0}  # before and after it went on
    as_it_is += len(resumed(ranks, "classification", folder / "frozen", task=Deep, batch_size=8, freeze=thawing))
    gradients._settle = _left_alone
    return [as_it_is, len(resumed(ranks, "classification", folder / "unsettled", task=Deep, batch_size=8))]


@pytest.mark.slow
def test_three_add_up_in_the_same_order_after_going_on(tmp_path: Path) -> None:
    for as_it_is, unsettled in together(settled_and_not, tmp_path, folder=tmp_path, world_size=3):
        assert as_it_is == 0
        assert unsettled > 0
