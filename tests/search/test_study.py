"""What Optuna's study is asked and told: a search repeats, however often it is stopped."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from runner.problem import Refused
from runner.search.plan import Plan
from runner.search.space import Dimension, Space
from runner.search.study import Asked, Settings, Study, Told, exists

SPACE = Space(
    [Dimension("lr", low=1e-4, high=0.1, log=True), Dimension("model", True, ("a", "b")), Dimension("n", low=1, high=9)]
)
PLAN = Plan(["lr=interval(0,1)"], {"valid/loss": "min"}, "search", None, SPACE, [])
TPE = Settings("tpe", "none", sampler_options={"n_startup_trials": 2})


def scored(asked: Asked) -> Told:
    return Told("complete", [asked.params["lr"] * asked.params["n"]], [asked.params["lr"], 0.5], [f"run{asked.number}"])


def searched(folder: Path, settings: Settings = TPE, *, trials: int = 5, closed_at: int | None = None) -> list[Any]:
    """What a study holds after some trials in turn; at ``closed_at`` it is closed before the answer."""
    study = Study(PLAN, folder, settings)
    for number in range(trials):
        (asked,) = study.ask(1)
        if number == closed_at:
            study.close()
            study = Study(PLAN, folder, settings)
            assert study.under_way() == [asked]
        study.tell(asked, scored(asked))
    with closing(study):
        return [(trial.params, trial.values, trial.intermediate_values) for trial in study.trials()]


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage without trials: making one takes a second."""
    folder = tmp_path_factory.mktemp("storage")
    Study(Plan([], {"valid/loss": "min"}, "another", None, SPACE, []), folder, TPE).close()
    return folder / "optuna.db"


@pytest.fixture
def place(tmp_path: Path, database: Path) -> Callable[[str], Path]:
    """A folder with an empty storage."""

    def made(name: str = "sweep") -> Path:
        (tmp_path / name).mkdir()
        shutil.copy(database, tmp_path / name)
        return tmp_path / name

    return made


@pytest.fixture
def study(place: Callable[..., Path]) -> Iterator[Study]:
    with closing(Study(PLAN, place(), TPE)) as made:
        yield made


@pytest.mark.slow
def test_a_search_repeats_and_its_seed_counts(place: Callable[..., Path]) -> None:
    one = searched(place("one"))
    assert searched(place("two"), closed_at=3) == one
    assert Settings("tpe", "none", seed=1).sampler_at(0)._rng.rng.rand() != TPE.sampler_at(0)._rng.rng.rand()
    assert len({params["lr"] for params, *_ in one}) == 5


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["random", "cmaes", "gp", "nsgaii", "qmc"])
def test_every_sampler_repeats(place: Callable[..., Path], sampler: str) -> None:
    settings = Settings(sampler, "none")
    one = searched(place("one"), settings, trials=6)
    assert searched(place("two"), settings, trials=6, closed_at=4) == one
    assert len({params["lr"] for params, *_ in one}) == 6


@pytest.mark.slow
def test_a_trial_that_was_not_asked_for_to_the_end_is_no_loss(study: Study) -> None:
    trial = study._study.ask()  # as if killed here, before all values were suggested
    first = SPACE.dimensions[0].suggested(trial)
    (asked,) = study.under_way()
    assert (asked.number, asked.params["lr"], set(asked.params)) == (0, first, {"lr", "model", "n"})
    assert study.under_way() == [asked]
    assert study.ask(1)[0].number == 1


@pytest.mark.slow
def test_scores_that_were_reported_before_a_kill_are_told_once(study: Study) -> None:
    (asked,) = study.ask(1)
    study._open[0].report(asked.params["lr"], 1)
    study.tell(asked, scored(asked))
    assert list(study.trials()[0].intermediate_values) == [1, 2]
    assert study.under_way() == []


@pytest.mark.slow
def test_how_trials_end(study: Study) -> None:
    complete, pruned, failed = study.ask(3)
    study.tell(complete, scored(complete))
    study.tell(pruned, Told("pruned", scores=[0.7, 0.9], runs=["p"], reason="pruned by x"))
    study.tell(failed, Told("fail", runs=["f"], reason="no memory"))
    assert [trial.state.name for trial in study.trials()] == ["COMPLETE", "PRUNED", "FAIL"]
    assert [trial.user_attrs.get("reason") for trial in study.trials()] == [None, "pruned by x", "no memory"]
    assert [trial.number for trial in study.best()] == [0]


def test_nothing_is_best_before_a_trial_completes(study: Study) -> None:
    assert study.best() == []


@pytest.mark.slow
def test_a_trial_is_judged_by_those_that_had_ended_when_it_was_asked_for(place: Callable[..., Path]) -> None:
    with closing(Study(PLAN, place(), Settings("random", "median", pruner_options={"n_warmup_steps": 1}))) as study:
        for asked in study.ask(2):
            study.tell(asked, scored(asked))
        third, fourth = study.ask(2)
        rules = [study.pruning(asked.number) for asked in (third, fourth)]
    assert all(rule is not None and [one["number"] for one in rule["rivals"]] == [0, 1] for rule in rules)
    assert rules[0] is not None
    assert rules[0]["rivals"][0]["scores"][1:] == [0.5]
    assert (rules[0]["pruner"], rules[0]["options"], rules[0]["direction"]) == (
        "median",
        {"n_warmup_steps": 1},
        "minimize",
    )


@pytest.mark.slow
def test_several_metrics_have_several_best(place: Callable[..., Path]) -> None:
    plan = Plan([], {"valid/loss": "min", "valid/accuracy": "max"}, "search", None, SPACE, [])
    with closing(Study(plan, place(), TPE)) as study:
        for asked, values in zip(study.ask(3), [(0.1, 0.5), (0.2, 0.9), (0.3, 0.8)], strict=True):
            study.tell(asked, Told("complete", values))
        assert [trial.number for trial in study.best()] == [0, 1]


@pytest.mark.slow
def test_a_storage_of_the_users(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    assert not exists(url, "mine")
    plan = Plan([], {"valid/loss": "min"}, "mine", url, SPACE, [])
    Study(plan, tmp_path / "sweep", TPE).close()
    assert exists(url, "mine")
    with pytest.raises(Refused, match=r"hydra\.sweeper\.storage=nonsense: cannot be used"):
        exists("nonsense", "mine")


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (Settings("tpee", "none"), "sampler=tpee: there is no such sampler; take one of tpe, random"),
        (Settings("tpe", "none", sampler_options={"seed": 1}), "tpe takes no seed"),
        (Settings("tpe", "none", sampler_options={"width": 1}), "tpe takes no width"),
        (Settings("tpe", "best"), "pruner=best: there is no such pruner"),
        (Settings("tpe", "median"), "would leave the mean over the seeds"),
    ],
)
def test_settings_with_which_nothing_can_be_searched(settings: Settings, text: str) -> None:
    plan = Plan([], {"valid/loss": "min"}, "search", None, Space(SPACE.dimensions, [], ["0", "1"]), [])
    (problem,) = settings.problems(plan)
    assert text in problem


@pytest.mark.parametrize(
    ("settings", "text"),
    [(Settings("tpe", "median"), "judges by one metric"), (Settings("cmaes", "none"), "searches by one metric")],
)
def test_what_takes_one_metric(settings: Settings, text: str) -> None:
    plan = Plan([], {"valid/loss": "min", "valid/accuracy": "max"}, "search", None, SPACE, [])
    (problem,) = settings.problems(plan)
    assert text in problem
