"""Which runs are one group, and what groups are called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from results.report.recorded_sweep import config, write_job, write_ledger

from runner.results.report.gather import gathered
from runner.results.report.groups import Group, grouped


def groups_of(*sweeps: Path) -> list[Group]:
    return grouped(gathered(sweeps))[0]


def names(*sweeps: Path) -> list[str]:
    return [group.name for group in groups_of(*sweeps)]


def test_seeds_are_one_group_and_models_are_not(tmp_path: Path) -> None:
    for model in ("lenet", "vgg16"):
        for seed in range(3):
            write_job(tmp_path, model, seed)
    assert [(group.name, len(group.runs)) for group in groups_of(tmp_path)] == [("lenet", 3), ("vgg16", 3)]


def jobs(sweep: Path, *settings: dict[str, Any], model: str = "lenet") -> None:
    for place, changed in enumerate(settings):
        for seed in range(2):
            write_job(sweep, model, seed, name=f"{model}__{seed}__{place}", settings=changed)


def test_a_name_has_what_differs_shortened(tmp_path: Path) -> None:
    jobs(tmp_path, {"optimizer__lr": 0.001, "trainer__batch_size": 32}, {"optimizer__lr": 0.01})
    assert sorted(names(tmp_path)) == ["lenet, lr=0.001", "lenet, lr=0.01"]


def test_ends_that_two_keys_share_stay_whole(tmp_path: Path) -> None:
    jobs(tmp_path, {"optimizer__decay": 1}, {"optimizer__decay": 2, "model__decay": 3})
    assert names(tmp_path) == [
        "lenet, optimizer.decay=1, model.decay=absent",
        "lenet, optimizer.decay=2, model.decay=3",
    ]


def test_an_option_stands_for_what_it_brings(tmp_path: Path) -> None:
    sgd = {"_target_": "torch.optim.SGD", "lr": 0.1, "momentum": 0.9}
    jobs(tmp_path, {}, {"optimizer": sgd}, {"optimizer": sgd | {"lr": 0.2}})
    assert names(tmp_path) == [
        "lenet, optimizer=Adam, lr=0.001",
        "lenet, optimizer=SGD, lr=0.1",
        "lenet, optimizer=SGD, lr=0.2",
    ]


def test_a_ledger_knows_the_options(tmp_path: Path) -> None:
    write_ledger(
        tmp_path,
        [
            ("a", config("vgg16"), {"model": "vgg16", "optimizer": "adam"}),
            ("b", config("vgg16", optimizer__lr=0.1), {"model": "vgg16", "optimizer": "adam_fast"}),
            ("c", config("vgg16", model__depth=11), {"model": "vgg11", "optimizer": "adam"}),
        ],
    )
    assert names(tmp_path) == ["vgg16, optimizer=adam", "vgg16, optimizer=adam_fast", "vgg11, optimizer=adam"]


def test_an_experiment_stands_for_what_it_changes(tmp_path: Path) -> None:
    first, second = config("lenet"), config("vgg16", optimizer__lr=0.1, trainer__epochs=9)
    write_ledger(
        tmp_path,
        [
            ("a", first, {"model": "lenet", "experiment": "small"}),
            ("b", second, {"model": "vgg16", "experiment": "large"}),
        ],
    )
    assert names(tmp_path) == ["lenet, experiment=small", "vgg16, experiment=large"]
    assert groups_of(tmp_path)[1].settings["trainer.epochs"] == "9"


def test_members_of_a_group_of_objects_are_named(tmp_path: Path) -> None:
    jobs(tmp_path, {}, {"stopping__early": {"_target_": "runner.stopping.EarlyStopping", "patience": 3}})
    assert names(tmp_path) == ["lenet, stopping={}", "lenet, stopping=[early]"]


def test_a_setting_tied_to_the_seed_does_not_part_a_group(tmp_path: Path) -> None:
    for seed in range(3):
        write_job(tmp_path, "lenet", seed, settings={"dataset__seed": seed})
    assert [len(group.runs) for group in groups_of(tmp_path)] == [3]


def test_a_setting_that_only_once_equals_the_seed_parts_it(tmp_path: Path) -> None:
    for seed in range(2):
        for other in range(2):
            write_job(tmp_path, "lenet", seed, name=f"lenet__{seed}__{other}", settings={"dataset__seed": other})
    assert sorted(names(tmp_path)) == ["lenet, seed=0", "lenet, seed=1"]


def test_an_option_that_was_edited_has_two_groups_with_names_of_their_own(tmp_path: Path) -> None:
    write_ledger(tmp_path / "a", [("x", config("vgg16"), {"model": "vgg16", "experiment": "same"})])
    write_ledger(tmp_path / "b", [("x", config("mlp"), {"model": "vgg16", "experiment": "same"})])
    found = names(tmp_path / "a", tmp_path / "b")
    assert len(set(found)) == 2


def test_a_damaged_run_without_ledger_has_no_group(tmp_path: Path) -> None:
    (write_job(tmp_path) / "manifest.json").write_text("{")
    assert groups_of(tmp_path) == []


@pytest.mark.parametrize(("again", "told"), [(0.9, "the same numbers, counted once"), (0.8, "WITH OTHER NUMBERS")])
def test_a_seed_that_two_sweeps_trained_counts_once(tmp_path: Path, again: float, told: str) -> None:
    write_job(tmp_path / "a", accuracy=0.9)
    write_job(tmp_path / "b", accuracy=again)
    (group,), (note,) = grouped(gathered([tmp_path / "a", tmp_path / "b"]))
    assert [run.test["test/accuracy"] for run in group.runs] == [0.9]
    assert note.startswith("b/lenet__0 repeats a/lenet__0")
    assert told in note


def test_of_two_the_completed_one_counts(tmp_path: Path) -> None:
    write_job(tmp_path / "a", state="failed", reason="no memory", step=3)
    write_job(tmp_path / "b")
    (group,), (note,) = grouped(gathered([tmp_path / "a", tmp_path / "b"]))
    assert [run.completed for run in group.runs] == [True]
    assert note == "a/lenet__0 repeats b/lenet__0 (completed) and does not count: failed at step 3: no memory"
