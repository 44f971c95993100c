"""The runs of a sweep as they are found: finished, cut off, damaged or never begun."""

from __future__ import annotations

from pathlib import Path

import pytest
from results.report.recorded_sweep import config, write_job, write_ledger

from runner.lock import held
from runner.results.report.gather import gathered


def test_what_a_run_recorded(tmp_path: Path) -> None:
    write_job(tmp_path, "lenet", 3, accuracy=0.75, valid=0.5, minutes=2)
    (run,) = gathered([tmp_path])
    assert (run.name, run.seed, run.model, run.state, run.step) == ("lenet__3", 3, "lenet", "completed", 20)
    assert (run.test, run.valid) == ({"test/loss": 0.25, "test/accuracy": 0.75}, {"valid/accuracy": 0.5})
    assert (run.config["optimizer.lr"], run.steps_per_epoch, run.duration_s) == (0.001, 10, 120)


def test_the_ledger_knows_of_jobs_that_left_nothing(tmp_path: Path) -> None:
    write_job(tmp_path, "vgg16", 1)
    jobs = [(f"vgg16__{seed}", config("vgg16", seed), {"model": "vgg16"}) for seed in range(2)]
    write_ledger(tmp_path, jobs)
    missing, there = gathered([tmp_path])
    assert (missing.name, missing.state, missing.seed, missing.model) == ("vgg16__0", "missing", 0, "vgg16")
    assert (there.name, there.state) == ("vgg16__1", "completed")


def test_a_run_beside_the_ledger_is_there_too(tmp_path: Path) -> None:
    write_job(tmp_path, "lenet", 0, name="by_hand")
    write_ledger(tmp_path, [("lenet__1", config(seed=1), {})])
    assert [run.name for run in gathered([tmp_path])] == ["lenet__1", "by_hand"]


def test_seeds_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for seed in (10, 9, 1):
        write_job(tmp_path, "lenet", seed)
    assert [run.seed for run in gathered([tmp_path])] == [1, 9, 10]


def test_a_run_whose_process_is_gone_was_killed(tmp_path: Path) -> None:
    folder = write_job(tmp_path, state="running")
    assert [run.state for run in gathered([tmp_path])] == ["killed"]
    (folder / "status.json").unlink()
    assert [run.state for run in gathered([tmp_path])] == ["killed"]


@pytest.mark.slow
def test_a_run_whose_process_has_the_lock_is_running(tmp_path: Path) -> None:
    import multiprocessing

    folder = write_job(tmp_path, state="running")
    with held(folder), multiprocessing.get_context("spawn").Pool(1) as pool:  # a lock is no obstacle to its own process
        assert pool.apply(_states, [tmp_path]) == ["running"]


def _states(sweep: Path) -> list[str]:
    return [run.state for run in gathered([sweep])]


@pytest.mark.parametrize("file", ["manifest.json", "status.json"])
@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_damaged_run_is_named_with_its_file(tmp_path: Path, file: str, content: str) -> None:
    write_job(tmp_path, "lenet", 0)
    (write_job(tmp_path, "lenet", 1) / file).write_text(content)
    whole, damaged = gathered([tmp_path])
    assert (whole.state, damaged.state) == ("completed", "damaged")
    assert f"lenet__1/{file} is damaged" in damaged.reason


def test_scores_of_an_unfinished_run_are_no_result(tmp_path: Path) -> None:
    write_job(tmp_path, state="failed", reason="no memory\nat all", step=7, metrics={"test/accuracy": 0.9})
    (run,) = gathered([tmp_path])
    assert (run.test, run.ending()) == ({}, "failed at step 7: no memory")


def test_a_run_that_went_on_has_no_duration(tmp_path: Path) -> None:
    session = {"started": "", "argv": [], "first_step": 0, "changed": {}}
    write_job(tmp_path, sessions=[session, session])
    (run,) = gathered([tmp_path])
    assert run.duration_s is None


def test_the_same_folder_twice_is_there_once(tmp_path: Path) -> None:
    folder = write_job(tmp_path / "sweep")
    assert len(gathered([tmp_path / "sweep", folder, tmp_path / "sweep" / ".." / "sweep"])) == 1


def test_the_model_of_a_run_that_nobody_named(tmp_path: Path) -> None:
    write_job(tmp_path, "vgg16", name="mine")
    assert gathered([tmp_path])[0].model == "vgg"
