"""``find-lr``, and runs that look for their learning rate."""

from __future__ import annotations

import csv
import json

import pytest
from cli.terminal import SMALL, Terminal

QUIET = ("optimizer=sgd", "trainer.batch_size=8", "augmentation=none")  # each batch is the whole training part
FIND = (*QUIET, "optimizer.lr=find")
VERB = ("find-lr", *SMALL, *QUIET)


def test_the_curve_is_printed_written_and_drawn_and_no_run_is_left(terminal: Terminal) -> None:
    answer = terminal.trains(*VERB, "hydra.run.dir=found", small=False)
    assert terminal.left() == ["found", "found/find_lr.csv", "found/find_lr.svg"]
    rows = list(csv.DictReader((terminal.folder / "found/find_lr.csv").read_text().splitlines()))
    lowest = min(rows[10:], key=lambda row: float(row["smoothed_loss"]))
    assert f"suggestion: optimizer.lr={float(lowest['lr']) / 10:.3g}" in answer.out
    assert rows[0]["lr"] == "1e-07"
    again = terminal.runs(*VERB, "hydra.run.dir=found", small=False)
    assert (again.status, again.messages[0].split(";")[0]) == (
        2,
        "hydra.run.dir=found: holds a curve already, and nothing is overwritten",
    )


@pytest.mark.slow
def test_the_range_is_the_verbs_own(terminal: Terminal) -> None:
    settings = ("from_lr=1e-4", "to_lr=1e-2", "steps=20")
    terminal.runs(*VERB, *settings, "hydra.run.dir=found", small=False)
    rows = list(csv.DictReader((terminal.folder / "found/find_lr.csv").read_text().splitlines()))
    assert (len(rows), rows[0]["lr"], rows[-1]["lr"]) == (20, "0.0001", "0.01")


@pytest.mark.slow
def test_a_curve_that_suggests_nothing_is_kept_and_said(terminal: Terminal) -> None:
    answer = terminal.runs(*VERB, "to_lr=1e-6", "hydra.run.dir=found", small=False)
    assert answer.status == 1
    assert answer.messages[0].startswith("no learning rate is suggested: ")
    assert "suggestion" not in answer.out
    assert terminal.left() == ["found", "found/find_lr.csv", "found/find_lr.svg"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["steps=5"], "steps=5: must be at least 80"),
        (["steps=many"], "steps=many: must be a whole number"),
        (["from_lr=1", "to_lr=0.1"], "from_lr=1: must be positive, and less than to_lr=0.1"),
        (["seed=0,1", "-m"], "-m: find-lr looks at one run"),
        (["--cfg", "job"], "--cfg: has no meaning for find-lr"),
        (["trainer.nproc=2"], "optimizer.lr=find: is looked for by one process, got 2"),
        (["trainer.epoch=2"], "trainer.epoch: there is no such setting; did you mean trainer.epochs?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_wrong_is_said_before_anything_is_done(terminal: Terminal, arguments: list[str], said: str) -> None:
    answer = terminal.runs(*VERB, *arguments, small=False)
    assert answer.status == 2
    assert said in answer.err
    assert terminal.left() == []


@pytest.mark.slow
def test_a_run_that_finds_its_rate_is_the_run_with_that_rate(terminal: Terminal) -> None:
    said = terminal.trains(*FIND, "hydra.run.dir=found").out
    found = terminal.manifest("found")
    (rate,) = found["found"].values()
    assert f"optimizer.lr={rate:g}, as found now" in said
    assert found["config"]["optimizer"]["lr"] == "find"
    terminal.trains(*QUIET, f"optimizer.lr={rate!r}", "hydra.run.dir=given")
    given = terminal.manifest("given")
    for key in ("weights_sha256", "initial_weights_sha256", "first_batch_sha256", "metrics"):
        assert found[key] == given[key], key
    assert "found" not in given
    terminal.trains(*QUIET, f"optimizer.lr={2 * rate!r}", "hydra.run.dir=other")
    assert terminal.manifest("other")["weights_sha256"] != given["weights_sha256"]


@pytest.mark.slow
def test_a_run_that_goes_on_does_not_look_again_and_one_that_is_reproduced_does(terminal: Terminal) -> None:
    terminal.trains(*FIND, "hydra.run.dir=found")
    assert "IDENTICAL" in terminal.trains("reproduce", "found", "hydra.run.dir=again", small=False).out
    assert terminal.manifest("again")["found"] == terminal.manifest("found")["found"]
    (terminal.folder / "found/find_lr.csv").unlink()
    file = terminal.folder / "found/manifest.json"
    file.write_text(json.dumps(terminal.manifest("found") | {"found": {"optimizer.lr": 0.25}}))
    said = terminal.trains("resume", "found", "trainer.steps=3", small=False).out
    assert "optimizer.lr=0.25, as found before" in said
    assert not (terminal.folder / "found/find_lr.csv").exists()
    assert terminal.manifest("found")["found"] == {"optimizer.lr": 0.25}


@pytest.mark.slow
def test_a_run_whose_loss_never_falls_fails_before_it_trains(terminal: Terminal) -> None:
    answer = terminal.runs(*FIND, "trainer.clip_value=1e-30", "optimizer.weight_decay=0", "hydra.run.dir=run")
    assert answer.status == 1
    assert "optimizer.lr=find: the loss never clearly falls" in answer.err
    status = terminal.status("run")
    assert (status["state"], status["step"]) == ("failed", 0)
    assert status["reason"].endswith("; set optimizer.lr=<a number>")
    assert not (terminal.folder / "run/checkpoints").exists()
    assert (terminal.folder / "run/find_lr.csv").is_file()


@pytest.mark.slow
def test_each_job_of_a_sweep_finds_its_own(terminal: Terminal) -> None:
    terminal.trains(*FIND, "seed=0,1", "hydra.sweep.dir=sweep", "-m")
    terminal.trains(*FIND, "seed=1", "hydra.run.dir=alone")
    jobs = [terminal.manifest(f"sweep/mlp__{seed}") for seed in (0, 1)]
    assert jobs[1]["weights_sha256"] == terminal.manifest("alone")["weights_sha256"]
    assert jobs[0]["found"] != jobs[1]["found"]
