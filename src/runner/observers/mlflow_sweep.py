"""The run of MLflow that stands for a sweep: its jobs, processes of their own, make it and end it together."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.lock import holder, turn
from runner.observers.outbox import replace_json
from runner.observers.tracking import jobs_of, sweep_name

if TYPE_CHECKING:
    from mlflow import MlflowClient

NAME = "mlflow.json"
STATUSES = {"completed": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}


class SweepRun:
    """The parent of the runs in ``folder``, known by ``mlflow.json`` there: ``run_id``, and how each ``job`` ended.

    The first job makes it, under a lock. The last one that ends, ends it: FAILED when one of them failed, KILLED
    when one was interrupted or killed, else FINISHED. One that goes on opens it again.
    """

    def __init__(self, client: MlflowClient, folder: Path, experiment_id: str) -> None:
        self._client = client
        self._folder = folder
        self._experiment_id = experiment_id

    def run_id(self) -> str:
        """Makes the run if there is none."""
        with self._record() as record:
            if "run_id" not in record:
                record["run_id"] = self._found(record["key"]) or self._created(record["key"])
            return str(record["run_id"])

    def joined(self, job: str) -> None:
        run_id = self.run_id()
        with self._record() as record:
            record["jobs"].pop(job, None)
            self._client.update_run(run_id, status="RUNNING")

    def left(self, job: str, status: str) -> None:
        with self._record() as record:
            record["jobs"][job] = status
            ends = [self._end_of(name, record["jobs"]) for name in jobs_of(self._folder)]
            if all(ends):
                worst = next((end for end in ("FAILED", "KILLED") if end in ends), "FINISHED")
                self._client.set_terminated(record["run_id"], worst)

    def _end_of(self, job: str, told: dict[str, str]) -> str:
        """How a job ended, by its own word or by what is left of it; nothing while it may still run."""
        if job in told:
            return told[job]
        status = self._folder / job / "status.json"
        if not status.is_file():
            return ""
        state = json.loads(status.read_bytes())["state"]
        return STATUSES.get(state) or ("" if holder(self._folder / job) else "KILLED")

    def _found(self, key: str) -> str:
        """Made before, by a request whose answer was lost."""
        runs = self._client.search_runs([self._experiment_id], f"tags.`runner.key` = '{key}'", max_results=1)
        return str(runs[0].info.run_id) if runs else ""

    def _created(self, key: str) -> str:
        tags = {"runner.key": key, "runner.folder": str(self._folder.resolve())}
        run = self._client.create_run(self._experiment_id, tags=tags, run_name=sweep_name(self._folder))
        return str(run.info.run_id)

    @contextmanager
    def _record(self) -> Iterator[dict[str, Any]]:
        """``mlflow.json``, held against other jobs; what is put into it is kept, even when the rest fails."""
        path = self._folder / NAME
        with turn(path.with_name(".mlflow.lock")):
            known = json.loads(path.read_bytes()) if path.is_file() else {}
            record = {"key": uuid.uuid4().hex, "jobs": {}, **known}
            replace_json(path, record)  # the key comes before what is made with it
            try:
                yield record
            finally:
                replace_json(path, record)
