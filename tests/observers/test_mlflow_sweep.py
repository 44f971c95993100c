"""When the run of a sweep is made, ended and opened again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runner import lock
from runner.observers.mlflow_sweep import SweepRun


class Client:
    """What of MLflow's client is used, for one run; ``lost``: the answer to its making does not arrive."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.status = ""
        self.lost = False

    def search_runs(self, _experiments: list[str], query: str, **_: Any) -> list[Any]:
        return [self._run(place) for place, key in enumerate(self.keys) if f"'{key}'" in query]

    def create_run(self, _experiment: str, *, tags: dict[str, str], run_name: str) -> Any:
        self.keys.append(tags["runner.key"])
        self.name, self.status = run_name, "RUNNING"
        if self.lost:
            raise TimeoutError
        return self._run(len(self.keys) - 1)

    def update_run(self, _run_id: str, status: str) -> None:
        self.status = status

    set_terminated = update_run

    def _run(self, place: int) -> Any:
        return SimpleNamespace(info=SimpleNamespace(run_id=f"run{place}"))


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def sweep(tmp_path: Path, client: Client) -> Callable[[], SweepRun]:
    """As each job makes its own, of a sweep of three."""
    for name in "abc":
        (tmp_path / name).mkdir()
    (tmp_path / "sweep.json").write_text(json.dumps({"jobs": [{"name": name} for name in "abc"]}))
    return lambda: SweepRun(client, tmp_path, "1")  # type: ignore[arg-type]


def states(folder: Path, **of_jobs: str) -> None:
    for name, state in of_jobs.items():
        (folder / name / "status.json").write_text(json.dumps({"state": state}))


Sweep = Callable[[], SweepRun]


def test_it_is_made_once(sweep: Sweep, client: Client, tmp_path: Path) -> None:
    for job in "abc":
        sweep().joined(job)
    assert sweep().run_id() == "run0"
    assert len(client.keys) == 1
    assert client.name == "/".join(tmp_path.parts[-2:])


def test_it_is_made_once_though_an_answer_was_lost(sweep: Sweep, client: Client) -> None:
    client.lost = True
    with pytest.raises(TimeoutError):
        sweep().run_id()
    assert sweep().run_id() == "run0"
    assert len(client.keys) == 1


def test_the_last_job_ends_it(sweep: Sweep, client: Client) -> None:
    for job in "abc":
        sweep().joined(job)
    for job, status in (("a", "RUNNING"), ("b", "RUNNING"), ("c", "FINISHED")):
        sweep().left(job, "FINISHED")
        assert client.status == status
    sweep().joined("b")
    assert client.status == "RUNNING"
    sweep().left("b", "FINISHED")
    assert client.status == "FINISHED"


@pytest.mark.parametrize(
    ("others", "status"),
    [
        ({"a": "completed", "b": "completed"}, "FINISHED"),
        ({"a": "failed", "b": "interrupted"}, "FAILED"),
        ({"a": "completed", "b": "interrupted"}, "KILLED"),
        ({"a": "completed", "b": "running"}, "KILLED"),  # and nobody holds its folder
        ({"a": "completed"}, "RUNNING"),
    ],
)
def test_it_ends_as_its_jobs_did(
    sweep: Sweep, client: Client, tmp_path: Path, others: dict[str, str], status: str
) -> None:
    states(tmp_path, **others)
    sweep().joined("c")
    sweep().left("c", "FINISHED")
    assert client.status == status


def test_a_job_that_runs_is_waited_for(
    sweep: Sweep, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states(tmp_path, a="completed", b="running")
    monkeypatch.setattr(
        "runner.observers.mlflow_sweep.holder", lambda folder: "process 1" if folder.name == "b" else ""
    )
    sweep().joined("c")
    sweep().left("c", "FINISHED")
    assert client.status == "RUNNING"
    assert lock.holder(tmp_path / "b") == ""
