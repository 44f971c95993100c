"""``manifest.json`` and ``status.json``: what was run, on what, and how it ended. Free of torch."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runner.config.build import flat
from runner.durable import appearing, sync_folder
from runner.results import provenance

OF_THE_END = ("metrics", "tables", "weights_sha256")  # of a completed run; no longer true once it goes on
ABSENT = "absent"


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def config_digest(config: Mapping[str, Any]) -> str:
    """SHA-256 of a resolved configuration: two runs with the same one were asked for the same."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write by temporary file, fsync and rename, so that ``path`` is always the old file or the new one."""
    with appearing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(_json(content))
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


def write_status(folder: Path, state: str, reason: str, *, step: int, updated: str | None = None) -> None:
    """Write ``status.json``. ``updated``: a time as ``now`` gives it, which is the time unless given."""
    content = {"state": state, "reason": reason, "step": step, "updated": updated or now()}
    write_json(folder / "status.json", content)


def read_json(path: Path) -> dict[str, Any]:
    """The content, or nothing when there is no such file. Raises ``ValueError`` for a damaged one."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}; restore it, or move it away") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} is damaged: it holds no JSON object; restore it, or move it away")
    return content


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, default=str) + "\n"


class RunRecord:
    """The two files of one run, kept up to date while it lives.

    ``manifest`` is what is known so far: add to it, then ``save``. ``session`` is the newest entry of its
    ``sessions``; whoever restores a checkpoint sets its ``first_step``.
    """

    def __init__(
        self, folder: Path, *, config: Mapping[str, Any], facts: Mapping[str, Any], resume: bool = False
    ) -> None:
        """Write both files at once. With ``resume`` the run in ``folder`` goes on: what is there is kept, but for
        what no longer holds. Raises ``ValueError``, and writes nothing, when the manifest there is damaged.
        """
        self.folder = folder
        self._before = read_json(folder / "manifest.json") if resume else {}
        argv = list(sys.argv)
        self.session: dict[str, Any] = {"started": now(), "argv": argv, "first_step": 0, "changed": {}}
        self.manifest: dict[str, Any] = {
            "argv": argv,
            "started": self.session["started"],
            **{key: value for key, value in self._before.items() if key not in OF_THE_END},
            "config_digest": config_digest(config),
            **facts,
            "environment": provenance.environment(str(facts.get("device", "cpu"))),
            "metrics": {},
            "sessions": [*self._before.get("sessions", []), self.session],
            "config": dict(config),
            "code": provenance.code(folder),
        }
        self.save()

    def save(self, *, step: int | None = None) -> None:
        """Write what is known of a run that trains, so that one that is killed leaves it. ``step`` is where it is."""
        self._write("running", "", step=self.session["first_step"] if step is None else step)

    def end(self, state: str, *, step: int, reason: str = "", **facts: Any) -> None:
        """``state`` is completed, interrupted or failed; ``facts`` join the manifest."""
        self.manifest |= facts
        self._write(state, reason, step=step)

    def _write(self, state: str, reason: str, *, step: int) -> None:
        loaded = self.manifest["code"]["modules"] | provenance.modules()  # a run loads more on its way
        self.manifest["code"] |= {"modules": loaded, "modules_sha256": provenance.modules_digest(loaded)}
        if self._before:
            self.session["changed"] = changes(self._before, self.manifest)
        self.manifest |= {"status": state, "updated": now()}
        try:
            write_json(self.folder / "manifest.json", self.manifest)
        finally:  # a disk may have room for the small one
            write_status(self.folder, state, reason, step=step, updated=self.manifest["updated"])


def changes(before: Mapping[str, Any], current: Mapping[str, Any]) -> dict[str, list[Any]]:
    """``{"config.trainer.epochs": [10, 20]}``: what differs between two manifests that can change the numbers.

    Keys are paths in the manifest; a checkout goes by its name. "absent" stands for what only one of them has. Of
    modules those count that both have loaded: which ones are, hangs on what a process did before.
    """
    left, right = _comparable(before), _comparable(json.loads(_json(current)))
    keys = [key for key in dict.fromkeys([*left, *right]) if _top(key) in before and _top(key) in current]
    pairs = {key: [left.get(key, ABSENT), right.get(key, ABSENT)] for key in keys}
    return {key: pair for key, pair in pairs.items() if _differ(key, pair)}


def _comparable(manifest: Mapping[str, Any]) -> dict[str, Any]:
    parts = ("config", "found", "environment", "data", "device", "precision", "threads")
    code = manifest.get("code", {})
    checkouts = {entry["name"]: {key: entry[key] for key in ("commit", "diff_sha256")} for entry in code.get("git", [])}
    chosen = {key: manifest[key] for key in parts if key in manifest}
    return flat(chosen | {"code": {"git": checkouts, "modules": code.get("modules", {})}})


def _top(key: str) -> str:
    return key.partition(".")[0]


def _differ(key: str, pair: list[Any]) -> bool:
    if key.startswith("code.modules.") and ABSENT in pair:
        return False
    return json.dumps(pair[0], sort_keys=True) != json.dumps(pair[1], sort_keys=True)
