"""MLflow: the observer that a configuration asks for, and the client that its process runs. Free of torch."""

from __future__ import annotations

import functools
import hashlib
import os
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.lock import turn
from runner.observers.mlflow_sweep import STATUSES, SweepRun
from runner.observers.outbox import Begin, End, Points
from runner.observers.sending import Rejected, reason
from runner.observers.tracking import Tracking
from runner.observers.tracking_problems import (
    host_and_port,
    missing_package,
    named,
    of_server,
    unanswered,
    unusable_database,
    without_password,
)
from runner.problem import Problem

if TYPE_CHECKING:
    from mlflow import MlflowClient

SETTING = "logger.mlflow.tracking_uri"
DEFAULT_DATABASE = "mlflow.db"
SQLITE = "sqlite:///"
SCHEMES = ("http", "https", "sqlite", "postgresql", "mysql", "mssql", "databricks")
KEY_CHARACTERS, VALUE_CHARACTERS, TAG_CHARACTERS = 250, 6000, 5000  # MLflow's limits
PARAMS_AT_ONCE, METRICS_AT_ONCE = 100, 1000
REFUSED = ("INVALID_PARAMETER_VALUE",)  # will be refused again
QUIET = {  # of the sending process: it tries again itself, and nobody has asked it to report to others
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


def mlflow(
    *,
    tracking_uri: str | None = None,
    experiment: str = "runner",
    run_name: str | None = None,
    weights: str = "best",
    wait_s: float = 30.0,
) -> Tracking:
    """A run of MLflow for each run, in a sweep one that is nested in the sweep's own. ``logger=mlflow``.

    ``tracking_uri``: a server (http, https) or a database (sqlite:///…); None takes ``MLFLOW_TRACKING_URI``, and
    without it ``mlflow.db`` in the current folder. ``run_name``: None takes the run's. The others are those of
    ``Tracking``.
    Raises ``ValueError`` for names that are empty, and for an address that holds a password or is none.
    """
    named("mlflow", experiment=experiment, run_name=run_name)
    if tracking_uri is not None:
        remedy = (
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or the whole address as MLFLOW_TRACKING_URI"
        )
        if of_server(tracking_uri):
            host_and_port(SETTING, tracking_uri)
        without_password(SETTING, tracking_uri, remedy=remedy)
        database = re.match(r"sqlite[^:]*:(?!///.)", tracking_uri)  # without a name, or two slashes for three
        if tracking_uri.partition(":")[0].partition("+")[0] not in SCHEMES or database:
            raise ValueError(
                f"{SETTING} must begin with one of {', '.join(SCHEMES)}, got {tracking_uri!r}; "
                "set logger.mlflow.tracking_uri=http://127.0.0.1:5000, or sqlite:///mlflow.db"
            )
    return Tracking(
        "mlflow",
        tracker=f"{__name__}:{MLflowTracker.__name__}",
        settings={"tracking_uri": tracking_uri, "experiment": experiment, "run_name": run_name},
        problems=functools.partial(_problems, tracking_uri),
        weights=weights,
        wait_s=wait_s,
    )


def _given(tracking_uri: str | None) -> str | None:
    """What was given, or stands for it; None where the client is to take what the environment says."""
    return tracking_uri or (None if os.environ.get("MLFLOW_TRACKING_URI") else f"{SQLITE}{DEFAULT_DATABASE}")


def _problems(tracking_uri: str | None, elsewhere: bool) -> Iterator[Problem]:
    yield from missing_package("mlflow")
    address = _given(tracking_uri) or os.environ["MLFLOW_TRACKING_URI"]
    yield from unusable_database("tracking_uri", address)
    if not elsewhere and of_server(address):
        remedy = "start one (mlflow server --port 5000), or leave mlflow out of logger"
        setting = SETTING if tracking_uri else "MLFLOW_TRACKING_URI"
        yield from unanswered("tracking_uri", setting, address, remedy=remedy)


class MLflowTracker:
    """One run of MLflow. What is told twice counts once: points carry their times, and the run its key."""

    def __init__(self, *, folder: Path, tracking_uri: str | None, experiment: str, run_name: str | None) -> None:
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        self._tracking_uri = tracking_uri
        self._experiment = experiment
        self._run_name = run_name
        self._folder = folder
        self._sweep: SweepRun | None = None

    def begin(self, begin: Begin, memory: dict[str, Any]) -> None:
        from mlflow import MlflowClient

        address = self._address(memory)
        with _one_at_a_time(address):
            self._client: MlflowClient = MlflowClient(address)
            experiment_id = self._experiment_id(address)
        if begin.in_sweep:
            self._sweep = SweepRun(self._client, self._folder.parent, experiment_id)
        if "run_id" in memory:
            self._run_id: str = memory["run_id"]
            self._client.update_run(self._run_id, status="RUNNING")
            self._note_changes(begin.params)
        else:
            self._run_id = memory["run_id"] = self._created(begin, memory["key"], experiment_id)
            self._log_params(begin.params)
        if self._sweep is not None:
            self._sweep.joined(self._folder.name)

    def points(self, points: Sequence[Points]) -> None:
        from mlflow.entities import Metric

        metrics = [
            Metric(fitted(name), value, some.time_ms, some.step)
            for some in points
            for name, value in some.values.items()
        ]
        with _told_apart():
            for first in range(0, len(metrics), METRICS_AT_ONCE):
                self._client.log_batch(self._run_id, metrics=metrics[first : first + METRICS_AT_ONCE])

    def file(self, path: Path, name: str) -> None:
        with _told_apart():
            self._client.log_artifact(self._run_id, str(path), posixpath.dirname(name).lstrip(".") or None)

    def end(self, end: End) -> None:
        self._client.set_tag(self._run_id, "runner.reason", (end.reason or end.state)[:TAG_CHARACTERS])
        self._client.set_terminated(self._run_id, STATUSES[end.state], end.time_ms)
        if self._sweep is not None:
            self._sweep.left(self._folder.name, STATUSES[end.state])

    def _address(self, memory: dict[str, Any]) -> str | None:
        """Of a database the path that it had when the run began: one may go on from another folder."""
        given = _given(self._tracking_uri)
        if given is None or not given.startswith(SQLITE):
            return given
        if memory.get("database", {}).get("given") != given:
            memory["database"] = {"given": given, "path": str(Path(given.removeprefix(SQLITE)).resolve())}
        return f"{SQLITE}{memory['database']['path']}"

    def _experiment_id(self, address: str | None) -> str:
        """Made if there is none. The files of a database lie beside it, in ``mlruns``; a server has its own place."""
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(self._experiment)
        if found is None:
            try:
                return str(self._client.create_experiment(self._experiment, _files_of(address, self._experiment)))
            except MlflowException:  # another job has just made it
                found = self._client.get_experiment_by_name(self._experiment)
                if found is None:
                    raise
        return str(found.experiment_id)

    def _created(self, begin: Begin, key: str, experiment_id: str) -> str:
        """The run with this key, which may be there: an answer can be lost on its way."""
        found = self._client.search_runs([experiment_id], f"tags.`runner.key` = '{key}'", max_results=1)
        if found:
            return str(found[0].info.run_id)
        tags = {"runner.key": key, **{f"runner.{name}": value for name, value in begin.facts.items()}}
        if "code.commit" in begin.facts:
            tags["mlflow.source.git.commit"] = begin.facts["code.commit"]
        if self._sweep is not None:
            tags["mlflow.parentRunId"] = self._sweep.run_id()
        name = self._run_name or begin.run
        run = self._client.create_run(experiment_id, start_time=begin.time_ms, tags=tags, run_name=name)
        return str(run.info.run_id)

    def _log_params(self, params: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        texts = {fitted(key): fitted_value(value) for key, value in params.items()}
        entries = [Param(key, text) for key, text in texts.items()]
        for first in range(0, len(entries), PARAMS_AT_ONCE):
            self._client.log_batch(self._run_id, params=entries[first : first + PARAMS_AT_ONCE])

    def _note_changes(self, params: Mapping[str, Any]) -> None:
        """Parameters cannot be changed: what a resumed run was given anew is a tag ``resumed.<key>``."""
        known = self._client.get_run(self._run_id).data.params
        self._log_params({key: value for key, value in params.items() if fitted(key) not in known})
        for key, value in params.items():
            text = fitted_value(value)
            if known.get(fitted(key), text) != text:
                self._client.set_tag(self._run_id, fitted(f"resumed.{key}"), text[:TAG_CHARACTERS])


def _files_of(address: str | None, experiment: str) -> str | None:
    if address is None or not address.startswith(SQLITE):
        return None
    return (Path(address.removeprefix(SQLITE)).parent / "mlruns" / fitted(experiment)).as_uri()


@contextmanager
def _one_at_a_time(address: str | None) -> Iterator[None]:
    """Two jobs that make the tables of a new database at once fail. The lock goes with the process."""
    if address is None or not address.startswith(SQLITE):
        yield
        return
    database = Path(address.removeprefix(SQLITE))
    with turn(database.with_name(f".{database.name}.lock")):
        yield


@contextmanager
def _told_apart() -> Iterator[None]:
    """Inside, what MLflow will never take becomes ``Rejected``; anything else may be tried again."""
    try:
        yield
    except Exception as error:
        if getattr(error, "error_code", "") in REFUSED:
            raise Rejected(reason(error)) from error
        raise


def fitted(name: str) -> str:
    """A name as MLflow takes it: at most 250 of its characters. One that had to be altered ends in a hash of itself."""
    parts = re.sub(r"[^/\w.\- :]", "_", name).split("/")
    plain = "/".join(part for part in parts if part not in ("", ".", "..")) or "_"
    if plain == name and len(name) <= KEY_CHARACTERS:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{plain[: KEY_CHARACTERS - 9]}-{digest}"


def fitted_value(value: object) -> str:
    """A value as MLflow takes it: at most 6000 characters. One that was cut ends in the SHA-256 of the whole."""
    text = str(value)
    if len(text) <= VALUE_CHARACTERS:
        return text
    digest = f" … sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    return text[: VALUE_CHARACTERS - len(digest)] + digest
