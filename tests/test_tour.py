"""The tour of the README, as it stands there: a sweep, its report, the paths of its weights, an archive, its scores."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from test_readme import ROOT, TOUR, blocks


def pictures() -> list[Path]:
    return [ROOT / place for place in re.findall(r"!\[[^]]+\]\(([^)]+)\)", TOUR)]


def toured(folder: Path) -> subprocess.CompletedProcess[str]:
    """All commands, by a shell that knows this Python as ``python``, until one fails."""
    (folder / "bin").mkdir()
    (folder / "bin" / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (folder / "bin" / "python").chmod(0o755)
    env = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    script = "set -e\n" + "".join(blocks("sh", TOUR))
    return subprocess.run(["bash", "-c", script], cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_its_pictures_are_there() -> None:
    assert len(pictures()) >= 4
    assert [picture for picture in pictures() if not picture.is_file() or picture.stat().st_size < 5000] == []


@pytest.mark.slow
def test_it_does_what_it_says(tmp_path: Path) -> None:
    done = toured(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    sweep = tmp_path / "TOUR"

    with (sweep / "report.csv").open(newline="") as file:
        groups = {row["group"]: row for row in csv.DictReader(file) if not row["minus"]}
    assert set(groups) == {"mlp", "lenet"}
    assert {row["completed"] for row in groups.values()} == {"3"}

    scores = json.loads((sweep / "lenet__0" / "manifest.json").read_text())["metrics"]
    assert scores["test/accuracy"] > 0.9
    (archived,) = (tmp_path / "archive" / "digits").iterdir()
    assert re.fullmatch(r"archived_v1_\d{4}-\d\d-\d\d__lenet__0", archived.name)
    again = json.loads((archived / "evaluations" / "last_on_digits.json").read_text())
    assert again["same_as_run"] is True
    assert again["metrics"] == scores
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=archived, check=True)

    made = {path.stem: path for path in tmp_path.rglob("*") if path.suffix in (".svg", ".png")}
    assert {picture.stem for picture in pictures()} <= set(made)
    for picture in pictures():
        if made[picture.stem].suffix == ".svg":
            ElementTree.parse(made[picture.stem])
