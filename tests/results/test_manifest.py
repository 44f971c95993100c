"""What a run says of itself."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from runner.results import manifest
from runner.results.manifest import RunRecord, changes, config_digest, read_json, write_json


def test_the_digest_is_of_the_content_not_of_its_order() -> None:
    assert config_digest({"a": 1, "b": {"c": 2, "d": 3}}) == config_digest({"b": {"d": 3, "c": 2}, "a": 1})
    assert config_digest({"a": 1}) != config_digest({"a": 2})
    assert config_digest({"a": 0}) != config_digest({"a": None})


def test_both_files_follow_the_life_of_a_run(tmp_path: Path) -> None:
    record = RunRecord(tmp_path, config={"seed": 0}, facts={"name": "mlp__0", "seed": 0})
    status, content = read_json(tmp_path / "status.json"), read_json(tmp_path / "manifest.json")
    assert (status["state"], status["step"], status["reason"]) == ("running", 0, "")
    assert (content["status"], content["seed"], content["metrics"]) == ("running", 0, {})
    assert content["config_digest"] == config_digest({"seed": 0})

    record.end("completed", step=7, metrics={"test/loss": 0.5}, weights_sha256="ab")
    status, content = read_json(tmp_path / "status.json"), read_json(tmp_path / "manifest.json")
    assert (status["state"], status["step"]) == ("completed", 7)
    assert (content["status"], content["metrics"], content["weights_sha256"]) == ("completed", {"test/loss": 0.5}, "ab")
    assert content["started"] <= content["updated"]


def test_a_failure_says_why(tmp_path: Path) -> None:
    RunRecord(tmp_path, config={}, facts={}).end("failed", step=3, reason="no memory")
    assert read_json(tmp_path / "status.json")["reason"] == "no memory"


def test_what_was_asked_for_and_on_what_is_there_from_the_start(tmp_path: Path) -> None:
    RunRecord(tmp_path, config={"trainer": {"epochs": 3}}, facts={"device": "cpu"})
    content = read_json(tmp_path / "manifest.json")
    assert content["config"] == {"trainer": {"epochs": 3}}
    assert content["environment"]["versions"]["torch"]
    assert content["code"]["modules"]["runner.results.manifest"]
    (session,) = content["sessions"]
    assert (session["argv"], session["first_step"], session["changed"]) == (sys.argv, 0, {})


def test_what_a_run_learns_is_saved_before_it_trains(tmp_path: Path) -> None:
    record = RunRecord(tmp_path, config={}, facts={})
    record.manifest |= {"threads": 3}
    record.save(step=5)
    assert read_json(tmp_path / "manifest.json")["threads"] == 3
    status = read_json(tmp_path / "status.json")
    assert (status["state"], status["step"]) == ("running", 5)


def test_code_that_is_loaded_later_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = RunRecord(tmp_path, config={}, facts={})
    before = record.manifest["code"]["modules_sha256"]
    late = ModuleType("runner.late_of_a_test")
    late.__file__ = __file__
    monkeypatch.setitem(sys.modules, late.__name__, late)
    record.end("completed", step=1)
    found = read_json(tmp_path / "manifest.json")["code"]
    assert late.__name__ in found["modules"]
    assert found["modules_sha256"] != before


def resumed(folder: Path, *, epochs: int = 3) -> RunRecord:
    """The record of a run in its second session, which the first has left off at step 40."""
    config = {"trainer": {"epochs": 3}}
    first = RunRecord(folder, config=config, facts={"device": "cpu"})
    first.manifest |= {"threads": 1, "initial_weights_sha256": "ab"}
    first.end("completed", step=40, metrics={"test/loss": 0.5}, tables={}, weights_sha256="cd")
    record = RunRecord(folder, config={"trainer": {"epochs": epochs}}, facts={"device": "cpu"}, resume=True)
    record.session["first_step"] = 40
    return record


def test_a_run_that_goes_on_keeps_what_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter(f"2026-11-22T10:00:{second:02}+00:00" for second in range(60))
    monkeypatch.setattr(manifest, "now", lambda: next(times))
    resumed(tmp_path).save()
    content = read_json(tmp_path / "manifest.json")
    assert content["initial_weights_sha256"] == "ab"
    assert (content["status"], content["metrics"]) == ("running", {})
    assert not {"weights_sha256", "tables"} & set(content)
    first, second = content["sessions"]
    assert content["started"] == first["started"] < second["started"]
    assert (first["first_step"], second["first_step"], second["changed"]) == (0, 40, {})
    assert read_json(tmp_path / "status.json")["step"] == 40


def test_a_session_says_what_is_not_as_before(tmp_path: Path) -> None:
    record = resumed(tmp_path, epochs=5)
    record.manifest |= {"threads": 2}
    record.manifest["environment"] = record.manifest["environment"] | {"python": "3.99"}
    record.end("completed", step=60)
    content = read_json(tmp_path / "manifest.json")
    assert content["config"] == {"trainer": {"epochs": 5}}
    assert content["sessions"][1]["changed"] == {
        "config.trainer.epochs": [3, 5],
        "environment.python": [platform.python_version(), "3.99"],
        "threads": [1, 2],
    }


def test_changes_of_code_are_found_by_commit_diff_and_module() -> None:
    def code(commit: str, **modules: str) -> dict[str, Any]:
        return {"code": {"git": [{"name": "own", "commit": commit, "diff_sha256": None}], "modules": modules}}

    assert changes(code("aa", net="1", only_here="2"), code("bb", net="3", only_there="4")) == {
        "code.git.own.commit": ["aa", "bb"],
        "code.modules.net": ["1", "3"],
    }
    assert changes({"code": {"git": []}}, code("bb"))["code.git.own.commit"] == ["absent", "bb"]


def test_what_json_alters_is_no_change() -> None:
    before = {"config": {"sizes": [1, 2], "nan": float("nan")}, "data": {"mean": [0.1]}}
    assert changes(before, {"config": {"sizes": (1, 2), "nan": float("nan")}}) == {}


def test_a_run_without_a_manifest_goes_on_with_a_new_one(tmp_path: Path) -> None:
    RunRecord(tmp_path, config={}, facts={}, resume=True)
    assert len(read_json(tmp_path / "manifest.json")["sessions"]) == 1


def test_a_run_whose_manifest_is_damaged_does_not_go_on(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"argv": [')
    with pytest.raises(ValueError, match=r"manifest\.json is damaged"):
        RunRecord(tmp_path, config={}, facts={}, resume=True)
    assert [file.name for file in tmp_path.iterdir()] == ["manifest.json"]
    assert (tmp_path / "manifest.json").read_text() == '{"argv": ['


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"[1, 2]", b"\0\0\0", b"\xff\xfe"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "status.json"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=rf"^{file} is damaged: .*; restore it, or move it away$"):
        read_json(file)


def full_disk(*_: object) -> None:
    raise OSError("no space left on device")


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_json(tmp_path / "a.json", {"x": 1})
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_json(tmp_path / "a.json", {"x": 2})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_what_is_written_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda _: there.append((tmp_path / "a.json").is_file()))
    write_json(tmp_path / "a.json", {"x": 1})
    assert there == [False, True]  # the content, then the folder with the name


def test_the_status_is_written_even_when_the_manifest_finds_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = RunRecord(tmp_path, config={}, facts={})
    write = manifest.write_json

    def too_large(path: Path, content: Mapping[str, Any]) -> None:
        full_disk() if path.name == "manifest.json" else write(path, content)

    monkeypatch.setattr(manifest, "write_json", too_large)
    with pytest.raises(OSError, match="no space"):
        record.end("failed", step=3, reason="no memory")
    assert read_json(tmp_path / "status.json")["state"] == "failed"


def test_an_absent_file_reads_as_nothing(tmp_path: Path) -> None:
    assert read_json(tmp_path / "status.json") == {}
