"""What is said before several processes train a run together."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.preflight.ranks import refuse_other_world, refuse_sweep
from runner.preflight.step import smallest_batch
from runner.problem import Refused

Found = Callable[..., list[str]]


def torchrun(monkeypatch: pytest.MonkeyPatch, processes: int) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}.items():
        monkeypatch.setenv(name, str(value))


def test_two_processes_are_fine(found: Found) -> None:
    assert found({"trainer.nproc": 2}) == []


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"trainer.nproc": 0}, "trainer.nproc=0: must be at least 1; set trainer.nproc=<n>"),
        (
            {"trainer.nproc": 5},
            "trainer.batch_size=4: is less than one sample for each of 5 processes; "
            "set trainer.batch_size to at least 5",
        ),
        (
            {"trainer.nproc": 2, "trainer.device": "mps"},
            "trainer.device=mps: cannot be shared by 2 processes; set trainer.device=auto: each takes a GPU of its own",
        ),
        (
            {"trainer.sync_batchnorm": True},
            "trainer.sync_batchnorm=true: changes nothing with one process; leave it out, or set trainer.nproc=<n>",
        ),
        (
            {"trainer.nproc": 2, "trainer.sync_batchnorm": True, "trainer.device": "cpu"},
            "trainer.sync_batchnorm=true: torch has it on GPUs only; leave it out",
        ),
        (
            {"trainer.nproc": 2, "loss": {"_target_": "runner.losses.CrossEntropy", "ignore_index": 3}},
            "trainer.nproc=2: cannot split a loss in which samples count differently (class weights, ignore_index); "
            "set it to 1",
        ),
        (
            {"trainer.nproc": 2, "debug.determinism": True},
            "debug.determinism=true: looks at one process, got 2; leave trainer.nproc out",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_is_said(found: Found, values: dict[str, Any], line: str) -> None:
    assert line in found(values)


def test_more_processes_than_gpus(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert (
        "trainer.nproc=2: each process takes a GPU, and 1 can be seen; set trainer.nproc=1, or trainer.device=cpu"
        in found({"trainer.nproc": 2})
    )
    assert found({"trainer.nproc": 2, "trainer.device": "cpu"}) == []


def test_torchrun_starts_the_processes_or_the_run_does(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    torchrun(monkeypatch, 2)
    told = "trainer.nproc=2: torchrun has started 2 processes already; leave it out, or start without torchrun"
    assert told in found({"trainer.nproc": 2})
    assert found({}) == []


def test_torchrun_does_not_start_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_sweep()
    torchrun(monkeypatch, 2)
    with pytest.raises(Refused, match=r"leave torchrun out and set trainer\.nproc"):
        refuse_sweep()


@pytest.mark.parametrize(
    ("before", "now", "allowed", "refused"),
    [(2, 2, False, False), (2, 1, False, True), (1, 2, False, True), (2, 1, True, False), (None, 1, False, False)],
)
def test_another_number_goes_on_only_when_asked_for(
    tmp_path: Path, before: int | None, now: int, allowed: bool, refused: bool
) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({} if before is None else {"world_size": before}))
    if not refused:
        refuse_other_world(tmp_path, now, allowed=allowed)
        return
    with pytest.raises(Refused, match="--change-world-size"):
        refuse_other_world(tmp_path, now, allowed=allowed)


@pytest.mark.parametrize(("world_size", "smallest"), [(1, 2), (2, 1), (3, 1)])
def test_batch_norm_must_do_with_the_rows_of_one_process(world_size: int, smallest: int) -> None:
    assert smallest_batch({5, 2}, 1, world_size) == smallest
