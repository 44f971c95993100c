"""What preflight says of recorded weights."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf
from preflight.conftest import Changed, Found

from runner.config import build
from runner.config.conf_dir import conf_dir
from runner.config.identity import identity
from runner.preflight import Job, check
from runner.run import run
from runner.trajectory import Recorder, Trajectory

EVERY = {"_target_": "runner.trajectory.Recorder", "every_steps": 1}


@pytest.mark.slow
def test_what_would_be_saved_is_told(changed: Changed, tmp_path: Path) -> None:
    found = check([Job("job", changed({"trajectory": EVERY}), tmp_path / "run")])
    assert found.lines() == []
    (line,) = found.prospects()
    assert line.startswith("trajectory: 2 tensors, ")
    assert line.endswith(" snapshots in fp32: 0.00 MiB")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"include": ["tail"]}, "trajectory.include=tail: tail matches none of the 4 names"),
        ({"exclude": ["weight"]}, "trajectory.exclude=['weight']: leaves no weights to record"),
        ({"every_steps": 10_000}, "trajectory.every_steps=10000: would record nothing"),
        ({"dtype": "fp8"}, "trajectory: dtype must be one of fp32, fp16, bf16, got fp8"),
        ({"every_step": 1}, "trajectory.every_step=1: runner.trajectory.Recorder takes no such argument"),
    ],
)
def test_what_would_record_nothing_is_refused(settings: dict[str, object], told: str, found: Found) -> None:
    (line,) = found({"trajectory": EVERY | settings})
    assert line.startswith(told)


def test_without_the_extra_its_name_is_told(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.trajectory.recorder.importlib.util.find_spec", lambda _: None)
    (line,) = found({"trajectory": EVERY | {"format": "safetensors"}})
    assert "install runner[safetensors]" in line


def test_the_disk_must_hold_it(changed: Changed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = changed({"trajectory": EVERY})
    monkeypatch.setattr(import_module("runner.preflight.check"), "run_bytes", lambda *_, **__: 0)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(total=1000, free=1000))
    assert check([Job("job", changed({}), tmp_path / "run")]).lines() == []
    (line,) = check([Job("job", cfg, tmp_path / "run")]).lines()
    assert "hydra.run.dir" in line


@pytest.mark.parametrize("option", sorted(file.stem for file in (conf_dir() / "trajectory").glob("*.yaml")))
def test_each_option_records(option: str, changed: Changed, tmp_path: Path) -> None:
    cfg = changed({"trajectory": OmegaConf.load(conf_dir() / "trajectory" / f"{option}.yaml")})
    if option == "steps":
        cfg.trajectory.every_steps = 1
    assert isinstance(build.build_observers(cfg)[-1], Recorder)
    assert check([Job("job", cfg, tmp_path)]).lines() == []
    run(cfg, tmp_path, name="job")
    assert Trajectory(tmp_path).steps[0] == 0
    assert len(Trajectory(tmp_path)) > 1


def test_what_is_recorded_is_settled_while_a_run_is_under_way(changed: Changed) -> None:
    settled = identity(changed({"trajectory": EVERY}))
    assert settled["trajectory.every_steps"] == 1
    assert settled != identity(changed({"trajectory": EVERY | {"dtype": "fp16"}}))
    assert "trajectory" not in identity(changed({}))  # runs from before there were any go on
