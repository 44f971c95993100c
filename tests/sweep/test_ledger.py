"""The jobs of a sweep as they were frozen, and what became of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from runner.lock import held
from runner.sweep import ledger
from runner.sweep.ledger import Entry, merged, state_of

FROZEN = Entry("mlp__0", 0, {"model": "mlp"}, ["model=mlp", "seed=0"], {"seed": 0, "model": {"width": 4}}, "ab")
LINKED = Entry("mlp__1", 1, {"model": "mlp"}, ["seed=1"], {"seed": 1, "a": 1}, "cd", "seed: 1\na: ${seed}\n")


def left(folder: Path, state: str = "", *, digest: str = "ab", config: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if config:
        (folder / ".hydra").mkdir()
        (folder / ".hydra" / "config.yaml").write_text("seed: 0\n")
    if state:
        status = {"state": state, "reason": "no memory", "step": 3}
        (folder / "status.json").write_text(json.dumps(status))
        (folder / "manifest.json").write_text(json.dumps({"config_digest": digest}))
    return folder


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert ledger.read(tmp_path) == []
    ledger.write(tmp_path, [FROZEN, LINKED], argv=["x", "-m"], code={"modules": {}})
    assert ledger.read(tmp_path) == [FROZEN, LINKED]


def test_the_first_command_and_time_stay(tmp_path: Path) -> None:
    ledger.write(tmp_path, [FROZEN], argv=["first"], code={})
    created = json.loads((tmp_path / "sweep.json").read_text())["created"]
    ledger.write(tmp_path, [FROZEN, LINKED], argv=["second"], code={})
    content = json.loads((tmp_path / "sweep.json").read_text())
    assert (content["argv"], content["created"], len(content["jobs"])) == (["first"], created, 2)


def test_a_ledger_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text('{"format": 0, "jobs": []}')
    with pytest.raises(ValueError, match="is not of this version"):
        ledger.read(tmp_path)


def test_interpolations_survive() -> None:
    assert FROZEN.composed() == {"seed": 0, "model": {"width": 4}}
    cfg = LINKED.composed()
    cfg.seed = 5
    assert OmegaConf.to_container(cfg, resolve=True) == {"seed": 5, "a": 5}


def test_more_jobs_join_in_order_and_the_newer_entry_counts() -> None:
    newer = Entry("mlp__0", 0, {}, [], {"seed": 0}, "ef")
    assert merged([FROZEN, LINKED], [newer]) == [newer, LINKED]
    assert [entry.name for entry in merged([LINKED], [FROZEN])] == ["mlp__1", "mlp__0"]


@pytest.mark.parametrize("state", ["completed", "failed", "interrupted"])
def test_the_state_that_a_job_left(tmp_path: Path, state: str) -> None:
    found = state_of(left(tmp_path / "job", state))
    assert (found.state, found.reason, found.step, found.config_digest) == (state, "no memory", 3, "ab")


def test_a_job_that_was_not_started_is_missing(tmp_path: Path) -> None:
    assert state_of(tmp_path / "job").state == "missing"
    assert state_of(left(tmp_path / "job", config=False)).state == "missing"


@pytest.mark.parametrize("state", ["", "running"])
def test_a_job_that_says_running_and_holds_no_lock_was_killed(tmp_path: Path, state: str) -> None:
    assert state_of(left(tmp_path / "job", state)).state == "killed"


def test_a_lock_that_this_process_holds_does_not_hide_a_finished_job(tmp_path: Path) -> None:
    with held(left(tmp_path / "job", "completed")):
        assert state_of(tmp_path / "job").state == "completed"
