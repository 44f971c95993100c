"""``sweep.json``: every job of a sweep as it was composed, written before the first one starts. Free of torch.

What became of a job stands in its own folder, so that nothing has to be kept in step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from runner.lock import holder
from runner.results.manifest import now, read_json, write_json

NAME = "sweep.json"
FORMAT = 1


@dataclass(frozen=True)
class Entry:
    """One job. ``config`` is the resolved configuration; ``yaml`` the one with its interpolations, if it has any."""

    name: str
    seed: int
    choices: Mapping[str, str]  # the options of its groups: {"model": "vgg16"}
    overrides: Sequence[str]
    config: Mapping[str, Any]
    config_digest: str
    yaml: str = ""

    def composed(self) -> DictConfig:
        """The configuration, without Hydra's part."""
        made = OmegaConf.create(self.yaml) if self.yaml else OmegaConf.create(dict(self.config))
        assert isinstance(made, DictConfig)
        return made


@dataclass(frozen=True)
class State:
    """What became of a job: missing, running, killed, interrupted, failed or completed."""

    state: str
    reason: str = ""
    step: int = 0
    config_digest: str = ""  # of what ran there
    manifest: Mapping[str, Any] = field(default_factory=dict)


def state_of(folder: Path) -> State:
    """Read from what the job left in its folder."""
    status, manifest = read_json(folder / "status.json"), read_json(folder / "manifest.json")
    state = str(status.get("state", "missing"))
    if state in ("running", "missing") and (folder / ".hydra" / "config.yaml").is_file():
        state = "running" if holder(folder) else "killed"
    reason, step = str(status.get("reason", "")), int(status.get("step", 0))
    return State(state, reason, step, str(manifest.get("config_digest", "")), manifest)


def read(folder: Path) -> list[Entry]:
    """The jobs of the sweep in ``folder``, in order; none when it has no ledger."""
    content = read_json(folder / NAME)
    if content and content.get("format") != FORMAT:
        raise ValueError(f"{folder / NAME} is not of this version (format {FORMAT})")
    return [Entry(**entry) for entry in content.get("jobs", [])]


def write(folder: Path, entries: Sequence[Entry], *, argv: Sequence[str], code: Mapping[str, Any]) -> None:
    """Write the ledger whole. The time at which the sweep was first made, and how, is kept."""
    before = read_json(folder / NAME)
    content = {
        "format": FORMAT,
        "created": before.get("created", now()),
        "updated": now(),
        "argv": before.get("argv", list(argv)),
        "code": dict(code),
        "jobs": [asdict(entry) for entry in entries],
    }
    write_json(folder / NAME, content)


def merged(before: Sequence[Entry], asked: Sequence[Entry]) -> list[Entry]:
    """The jobs of a sweep that was asked for more: an entry of the same name is replaced where it stands."""
    return list(({entry.name: entry for entry in before} | {entry.name: entry for entry in asked}).values())
