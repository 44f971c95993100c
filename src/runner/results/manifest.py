"""``manifest.json`` and ``status.json``: what was run, on what, and how it ended. Free of torch."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PACKAGES = ("runner", "torch", "torchvision", "torchmetrics", "hydra-core", "omegaconf", "numpy")


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def config_digest(config: Mapping[str, Any]) -> str:
    """SHA-256 of a resolved configuration: two runs with the same one were asked for the same."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def environment() -> dict[str, Any]:
    """Versions and hardware that can change the bits of a result."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": platform.processor() or platform.machine(),
        "cpus": os.cpu_count(),
        "versions": versions,
    }


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write by temporary file and rename, so that a reader never sees half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(content, indent=2, default=str) + "\n")
    temporary.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """The content, or nothing when there is no such file."""
    content: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return content


class RunRecord:
    """The two files of one run, kept up to date while it lives."""

    def __init__(self, folder: Path, *, config: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        self.folder = folder
        self.manifest: dict[str, Any] = {
            "argv": sys.argv,
            "config_digest": config_digest(config),
            **facts,
            **environment(),
            "started": now(),
            "metrics": {},
        }
        self._write("running", "", step=0)

    def end(self, state: str, *, step: int, reason: str = "", **facts: Any) -> None:
        """``state`` is completed, interrupted or failed; ``facts`` join the manifest."""
        self.manifest |= facts
        self._write(state, reason, step=step)

    def _write(self, state: str, reason: str, *, step: int) -> None:
        self.manifest |= {"status": state, "updated": now()}
        write_json(self.folder / "manifest.json", self.manifest)
        write_json(self.folder / "status.json", {"state": state, "reason": reason, "step": step, "updated": now()})
