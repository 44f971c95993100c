"""What a run says of itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runner.results import manifest
from runner.results.manifest import RunRecord, config_digest, environment, read_json, write_json


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


def test_versions_of_what_changes_the_bits_are_named() -> None:
    found = environment()
    assert {"python", "platform", "cpu", "cpus", "versions"} <= set(found)
    assert {"runner", "torch", "numpy", "hydra-core"} <= set(found["versions"])


def test_a_package_that_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "PACKAGES", ("torch", "no-such-package-at-all"))
    assert set(environment()["versions"]) == {"torch"}


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_json(tmp_path / "a.json", {"x": 1})

    def refuse(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="no space"):
        write_json(tmp_path / "a.json", {"x": 2})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": 1}


def test_an_absent_file_reads_as_nothing(tmp_path: Path) -> None:
    assert read_json(tmp_path / "status.json") == {}
