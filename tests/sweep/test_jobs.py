"""Folders of a sweep's jobs."""

from __future__ import annotations

import pytest

from runner.problem import Refused
from runner.sweep.jobs import as_mapping, job_names, shortened


def test_overrides_as_a_mapping_leave_hydras_own_out() -> None:
    given = ["model=vgg16", "+a.b=1", "++c=x=y", "~d.e", "hydra.run.dir=x", "hydra/launcher=basic"]
    assert as_mapping(given) == {"model": "vgg16", "a.b": "1", "c": "x=y", "d.e": ""}


def test_names_are_of_model_and_seed_where_nothing_else_is_swept() -> None:
    jobs = [["model=vgg16", f"seed={seed}", "optimizer.lr=0.1"] for seed in range(3)]
    assert job_names(jobs, ["vgg16"] * 3, range(3)) == ["vgg16__0", "vgg16__1", "vgg16__2"]


def test_other_swept_keys_follow_in_the_order_they_were_given() -> None:
    jobs = [[f"optimizer.lr={lr}", f"optimizer={name}"] for lr in (0.1, 0.2) for name in ("sgd", "adam")]
    assert job_names(jobs, ["mlp"] * 4, [0] * 4) == [
        "mlp__0__lr=0.1,optimizer=sgd",
        "mlp__0__lr=0.1,optimizer=adam",
        "mlp__0__lr=0.2,optimizer=sgd",
        "mlp__0__lr=0.2,optimizer=adam",
    ]


def test_keys_are_shortened_where_that_is_clear() -> None:
    assert shortened(["optimizer.lr", "model.dropout"]) == {"optimizer.lr": "lr", "model.dropout": "dropout"}
    assert shortened(["generator.lr", "discriminator.lr"]) == {
        "generator.lr": "generator.lr",
        "discriminator.lr": "discriminator.lr",
    }


@pytest.mark.parametrize(
    ("jobs", "models"),
    [([["seed=0"], ["seed=0"]], ["mlp", "mlp"]), ([["model=Mine"], ["model=mine"]], ["Mine", "mine"])],
    ids=["a value twice", "names that differ in case only"],
)
def test_two_jobs_never_share_a_folder(jobs: list[list[str]], models: list[str]) -> None:
    with pytest.raises(Refused, match="two jobs would share the folder m"):
        job_names(jobs, models, [0, 0])


def test_values_that_look_alike_when_made_safe_stay_apart() -> None:
    jobs = [["a=x y"], ["a=x/y"], ["a=x:y"]]
    assert len(set(job_names(jobs, ["mlp"] * 3, [0] * 3))) == 3


def test_long_names_stay_apart() -> None:
    jobs = [[f"a={'x' * 200}{number}"] for number in range(3)]
    names = job_names(jobs, ["mlp"] * 3, [0] * 3)
    assert len(set(names)) == 3
    assert max(map(len, names)) <= 120
