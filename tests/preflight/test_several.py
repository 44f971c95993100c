"""What preflight says of several data sets."""

from __future__ import annotations

from typing import Any

from preflight.conftest import Changed, Found
from torch import nn

from runner.config import build
from runner.config.identity import may_change
from runner.preflight.trial import tried

SET = {
    "_target_": "runner.data.sources.Synthetic",
    "channels": 1,
    "height": 8,
    "width": 8,
    "train_size": 9,
    "valid_size": 4,
    "test_size": 4,
}


def several(**settings: Any) -> dict[str, Any]:
    sets = {"near": SET, "far": {**SET, "train_size": 6, "seed": 1}}
    return {"dataset": {"_target_": "runner.data.sources.Several", "sets": sets, **settings}}


def test_several_sets_that_fit_pass(found: Found) -> None:
    assert found(several(train=["near"], valid=["far"])) == []


def test_everything_wrong_is_told_at_once(found: Found) -> None:
    sets = {"near": SET, "far": {**SET, "channels": 3}, "broken": {**SET, "train_size": 0}}
    lines = found(several(sets=sets, train=[], valid=["fra"], order="random"))
    keys = ["train", "valid", "order", "sets.broken.train_size", "sets.near"]
    assert [line.partition(": ")[0].partition("=")[0] for line in lines] == [f"dataset.{key}" for key in keys]


def test_a_misspelt_setting_of_a_set_is_told(found: Found) -> None:
    (line,) = found(several(sets={"near": {**SET, "chanels": 1}}))
    assert line.startswith("dataset.sets.near.chanels=1: ")
    assert line.endswith("did you mean channels?")


def test_metrics_of_a_set_may_choose_checkpoints_and_others_may_not(found: Found) -> None:
    assert found({**several(), "trainer.best": {"near/loss": "min", "loss": "min"}}) == []
    (line,) = found({**several(valid=["far"]), "trainer.best": {"near/loss": "min"}})
    assert line.startswith("trainer.best.near/loss=min: is not measured; there are: far/loss, loss")
    monitor = {"_target_": "runner.optim.schedulers.plateau", "monitor": "valid/far/loss"}
    assert found({**several(), "scheduler": monitor}) == []


def test_the_plan_counts_the_batches_of_each_set(changed: Changed) -> None:
    """15 samples in batches of 4: four together; three of the nine and two of the six apart."""
    for order, steps in (("mixed", 4), ("alternated", 5), ("in_sequence", 5)):
        cfg = changed(several(order=order))
        plan = tried(cfg, build.load_splits(cfg), clean=False).plan()
        assert plan is not None
        assert plan.steps_per_epoch == steps


class Normed(nn.Sequential):
    """Cannot do with one sample."""

    def __init__(self, *, in_channels: int, num_classes: int) -> None:
        super().__init__(nn.Flatten(), nn.BatchNorm1d(in_channels * 64), nn.Linear(in_channels * 64, num_classes))


def test_the_smallest_batch_of_each_set_is_tried(found: Found) -> None:
    """Of nine samples in batches of four one is left alone; with the other six there are three left."""
    model = {"_target_": f"{__name__}.Normed"}
    assert found({**several(order="mixed"), "model": model}) == []
    (line,) = found({**several(order="alternated"), "model": model})
    assert "Expected more than 1 value per channel" in line


def test_where_a_set_lies_may_change() -> None:
    assert may_change("dataset.sets.near.root")
    assert may_change("dataset.sets.near.download")
    assert not may_change("dataset.sets.near.image_size")
    assert not may_change("dataset.order")
