"""What a real MLflow server holds of a run, of a sweep, and of a run that it was away from."""

from __future__ import annotations

import csv
import json
import logging
import math
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose
from omegaconf import DictConfig

from runner.manner import Manner
from runner.observers import mlflow, tracking_problems
from runner.observers.mlflow_tracker import fitted, fitted_value
from runner.observers.observer import EvaluationRecord, Outcome, RunInfo, StepRecord
from runner.preflight import Job, check
from runner.run import run

SECRET = "hunter22-of-nobody"
SMALL = [
    *("dataset=synthetic", "dataset.train_size=16", "dataset.valid_size=8", "dataset.test_size=8"),
    *("model=mlp", "model.hidden=[4]", "trainer.batch_size=4", "trainer.steps=12", "trainer.evaluate_every_steps=3"),
    *("trainer.save_every_steps=2", "trainer.log_every_steps=1", "logger=[csv,mlflow]", "logger.mlflow.wait_s=120"),
]


# --- what MLflow takes


@pytest.mark.parametrize("name", ["valid/accuracy", "lr/generator", "optimizer.betas", "valid/iou_traffic light"])
def test_a_plain_name_stays(name: str) -> None:
    assert fitted(name) == name


@pytest.mark.parametrize("name", ["valid/iou_café (1)", "a//b", "../a", "/a", "x" * 251, "a=b", ".", "a/../../b"])
def test_another_name_is_altered_and_stays_apart(name: str) -> None:
    made = fitted(name)
    assert made != name
    assert len(made) <= 250
    assert os.path.normpath(made) == made
    assert not made.startswith((".", "/"))
    assert fitted(name + "'") != made


def test_a_long_value_is_cut_and_says_what_the_whole_was() -> None:
    assert fitted_value([1, 2]) == "[1, 2]"
    cut = fitted_value("x" * 6001)
    assert len(cut) == 6000
    assert " … sha256:" in cut
    assert fitted_value("x" * 6000 + "y") != cut


# --- what stands against it


def test_a_password_in_the_address_is_refused_and_not_told() -> None:
    with pytest.raises(ValueError, match=r"must not hold a password.*MLFLOW_TRACKING_PASSWORD") as refusal:
        mlflow(tracking_uri=f"http://me:{SECRET}@127.0.0.1:5000")
    assert SECRET not in str(refusal.value)


def test_a_password_that_breaks_the_address_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands before its slash would be taken for the port."""
    address = f"http://me:{SECRET}/x@127.0.0.1:5000"
    with pytest.raises(ValueError, match="tracking_uri names no server, or no port that is a number") as refusal:
        mlflow(tracking_uri=address)
    assert SECRET not in str(refusal.value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(ValueError, match="MLFLOW_TRACKING_URI names no server") as refusal:
        mlflow().problems()
    assert SECRET not in str(refusal.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tracking_uri": "127.0.0.1:5000"}, "logger.mlflow.tracking_uri must begin with one of http"),
        ({"tracking_uri": "sqlite://mlflow.db"}, "got 'sqlite://mlflow.db'; set .*, or sqlite:///mlflow.db"),
        ({"tracking_uri": "sqlite:///"}, "got 'sqlite:///'; set "),
        ({"tracking_uri": "http://"}, "logger.mlflow.tracking_uri names no server"),
        ({"tracking_uri": "http://[::1"}, "logger.mlflow.tracking_uri names no server"),
        ({"experiment": " "}, "logger.mlflow.experiment must not be empty"),
        ({"run_name": ""}, "logger.mlflow.run_name must not be empty"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mlflow(**settings)


def test_a_server_that_does_not_answer_is_found_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    [problem] = mlflow(tracking_uri=address).problems()
    assert problem.line() == (
        f"tracking_uri={address}: no server answers there (Connection refused); "
        "start one (mlflow server --port 5000), or leave mlflow out of logger"
    )
    assert mlflow(tracking_uri=address).problems(elsewhere=True) == []
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:{SECRET}@127.0.0.1:{port}")
    [problem] = mlflow().problems()
    assert SECRET not in problem.line()
    assert mlflow(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db").problems() == []
    [problem] = mlflow(tracking_uri=f"sqlite:///{tmp_path}/none/mlflow.db").problems()
    assert "there is no folder" in problem.text
    [problem] = mlflow(tracking_uri=f"sqlite:///{tmp_path}").problems()
    assert problem.remedy == f"name a file: sqlite:///{tmp_path}/mlflow.db"


@pytest.mark.slow
@pytest.mark.usefixtures("shipped")
def test_the_check_of_a_command_finds_it(tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    cfg = composed(f"logger.mlflow.tracking_uri={address}")
    [line] = check([Job("job", cfg, tmp_path)]).lines()
    assert line.startswith(f"logger.mlflow.tracking_uri={address}: no server answers there")
    assert check([Job("job", cfg, tmp_path)], elsewhere=True).lines() == []
    cfg.logger.mlflow.tracking_uri = f"http://me:{SECRET}@127.0.0.1"
    [line] = check([Job("job", cfg, tmp_path)]).lines()
    assert line.startswith("logger.mlflow.tracking_uri must not hold a password, got http://***@127.0.0.1;")


def test_a_server_that_answers_is_no_problem() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert mlflow(tracking_uri=f"http://127.0.0.1:{server.getsockname()[1]}").problems() == []


def test_a_missing_package_is_named() -> None:
    [problem] = tracking_problems.missing_package("no_such_package")
    assert problem.remedy == "install runner[no_such_package], or leave no_such_package out of logger"


# --- a real server


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class Server:
    """``mlflow server`` on this machine, which can go away and come back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        store, files = f"sqlite:///{self.folder}/mlflow.db", str(self.folder / "artifacts")
        where = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        where += ["--backend-store-uri", store, "--artifacts-destination", files]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *where],
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        limit_s = time.monotonic() + 180
        while not self._answers():
            assert time.monotonic() < limit_s, "the server did not start"
            assert self._process.poll() is None, "the server ended"
            time.sleep(0.2)

    def stop(self) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def ask(self, where: str, **query: str) -> dict[str, Any]:
        request: Any = f"{self.uri}/api/2.0/mlflow/{where}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(request, timeout=30) as answer:
            content: dict[str, Any] = json.load(answer)
            return content

    def runs(self, experiment: str) -> dict[str, dict[str, Any]]:
        """Everything of an experiment, by the name of the run; no two have the same."""
        found = self.ask("experiments/get-by-name", experiment_name=experiment)["experiment"]["experiment_id"]
        body = json.dumps({"experiment_ids": [found]}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.uri}/api/2.0/mlflow/runs/search", body, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            runs = json.load(answer).get("runs", [])
        named = {run["info"]["run_name"]: run for run in runs}
        assert len(named) == len(runs)
        return named

    def history(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        points = self.ask("metrics/get-history", run_id=run_id, metric_key=metric)["metrics"]
        return sorted((int(point["step"]), float(point["value"])) for point in points)

    def files(self, run_id: str, path: str = "") -> set[str]:
        found = self.ask("artifacts/list", run_id=run_id, **({"path": path} if path else {})).get("files", [])
        return {file["path"] for file in found}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("mlflow"))
    yield made
    made.stop()


def columns(file: Path) -> dict[str, list[tuple[int, float]]]:
    """``{"valid/loss": [(3, 0.7), …]}`` of ``history.csv`` or ``steps.csv``."""
    with file.open() as lines:
        rows = list(csv.DictReader(lines))
    return {
        name: [(int(row["step"]), float(row[name])) for row in rows if row[name]]
        for name in rows[0]
        if name not in ("step", "epoch", "warmup_s", "elapsed_s")
    }


def assert_holds_what_is_reported(server: Server, run: dict[str, Any], folder: Path) -> None:
    run_id = run["info"]["run_id"]
    evaluated, logged = columns(folder / "history.csv"), columns(folder / "steps.csv")
    for name in ("train/loss", "valid/loss", "valid/accuracy"):
        assert server.history(run_id, name) == evaluated[name] != [], name
    assert server.history(run_id, "lr") == logged["lr"]
    assert server.history(run_id, "train/loss_step") == logged["train/loss"]
    final = json.loads((folder / "manifest.json").read_text())["metrics"]
    latest = {metric["key"]: float(metric["value"]) for metric in run["data"]["metrics"]}
    assert {name: latest[name] for name in final} == final
    params = {param["key"]: param["value"] for param in run["data"]["params"]}
    assert params["optimizer.lr"] == "0.001"
    assert params["model.hidden"] == "[4]"
    assert {"hydra", "summary.txt", "checkpoints"} <= server.files(run_id)
    assert server.files(run_id, "checkpoints") == {"checkpoints/best_accuracy.pt"}


def tags(run: dict[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in run["data"]["tags"]}


@pytest.mark.slow
def test_a_sweep_is_a_run_with_its_jobs_in_it(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    words = [
        *SMALL,
        "seed=0,1",
        f"hydra.sweep.dir={folder}",
        "logger.mlflow.experiment=sweep",
        "hydra.sweeper.report=false",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "runner", *words, f"logger.mlflow.tracking_uri={server.uri}", "-m"],
        env={**os.environ, "MLFLOW_TRACKING_USERNAME": "me", "MLFLOW_TRACKING_PASSWORD": SECRET},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    runs = server.runs("sweep")
    parent = runs.pop(f"{tmp_path.name}/sweep")
    assert set(runs) == {"mlp__0", "mlp__1"}
    for name, job in runs.items():
        assert tags(job)["mlflow.parentRunId"] == parent["info"]["run_id"]
        assert job["info"]["status"] == "FINISHED"
        assert_holds_what_is_reported(server, job, folder / name)
    assert parent["info"]["status"] == "FINISHED"
    assert json.loads((folder / "mlflow.json").read_text())["run_id"] == parent["info"]["run_id"]
    told = [done.stdout, done.stderr, *(file.read_bytes().decode(errors="replace") for file in files_of(folder))]
    assert len(told) > 20
    assert [text for text in told if SECRET in text] == []


def files_of(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]


class Breaker:
    """An observer that takes the server away at one step, and brings it back at another."""

    def __init__(self, server: Server, said: pytest.LogCaptureFixture, *, away_step: int, back_step: int) -> None:
        self.server, self.said = server, said
        self.away_step, self.back_step = away_step, back_step

    def started(self, run: RunInfo) -> None: ...

    def logged(self, record: StepRecord) -> None:
        if record.step == self.away_step:
            self.server.stop()
        if record.step == self.away_step + 1:
            limit_s = time.monotonic() + 120
            while not any("cannot be told" in text for text in self.said.messages):
                assert time.monotonic() < limit_s, "nothing was said"
                time.sleep(0.1)
        if record.step == self.back_step:
            self.server.start()

    def evaluated(self, record: EvaluationRecord) -> None: ...

    def finished(self, outcome: Outcome) -> None: ...


def composed(*overrides: str) -> DictConfig:
    return compose("config", overrides=[*SMALL, *overrides])


@pytest.mark.slow
@pytest.mark.usefixtures("shipped")
def test_a_run_is_one_run_whoever_was_away(server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "mlp__0"
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text("as the command line leaves it")
    cfg = composed(f"logger.mlflow.tracking_uri={server.uri}", "logger.mlflow.experiment=away")
    run(cfg, folder, name="mlp__0", manner=Manner(until_steps=5))
    before = server.runs("away")["mlp__0"]
    assert before["info"]["status"] == "KILLED"
    with caplog.at_level(logging.WARNING):
        breaker = Breaker(server, caplog, away_step=7, back_step=10)
        run(cfg, folder, name="mlp__0", manner=Manner(resume=True), observers=[breaker])
    after = server.runs("away")["mlp__0"]
    assert after["info"]["status"] == "FINISHED"
    assert after["info"]["run_id"] == before["info"]["run_id"]
    assert_holds_what_is_reported(server, after, folder)
    said = [text for text in caplog.messages if "mlflow" in text]
    assert [text.partition(" (")[0] for text in said] == [
        "mlflow cannot be told",
        "mlflow has been told all that it missed",
    ]
    assert not math.isnan(server.history(after["info"]["run_id"], "valid/loss")[0][1])
