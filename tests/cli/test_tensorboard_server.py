"""The real TensorBoard: what it shows of a sweep is what the runs left."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from cli.terminal import DATA, Terminal
from PIL import Image

pytestmark = pytest.mark.slow

SWEEP = [
    *("task=reconstruction", "dataset=synthetic", *DATA, "model=cae", "model.channels=[4]", "model.latent_dim=3"),
    *("trainer.steps=4", "trainer.evaluate_every_steps=2", "trainer.log_every_steps=1", "trainer.batch_size=4"),
    *("logger=[csv,tensorboard]", "logger.tensorboard.histograms=[weights,gradients]", "logger.tensorboard.pictures=4"),
    *("optimizer.lr=0.01,0.001", "hydra.sweep.dir=sweep", "-m"),
]
PATIENCE_S = 60
STEP_COLUMNS = {"train/loss": "train/loss_step", "lr": "lr"}


@dataclass(frozen=True)
class Server:
    address: str

    def get(self, path: str, **query: Any) -> bytes:
        asked = f"{self.address}/data/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(asked, timeout=PATIENCE_S) as answer:
            return bytes(answer.read())

    def json(self, path: str, **query: Any) -> Any:
        return json.loads(self.get(path, **query))

    def loaded(self, *runs: str) -> None:
        """Wait until it has read all of the runs: the last thing in each are the final scores."""
        until = time.monotonic() + PATIENCE_S
        while not all("test/loss" in self.json("plugin/scalars/tags").get(run, {}) for run in runs):
            assert time.monotonic() < until, self.json("plugin/scalars/tags")
            time.sleep(0.2)


@contextmanager
def tensorboard(folder: Path) -> Iterator[Server]:
    """On a free port of this machine alone."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--host=127.0.0.1", "--port=0"]
    server = subprocess.Popen(
        [*command, "--load_fast=false"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert server.stdout is not None
    try:
        said = ""
        while (found := re.search(r"http://127\.0\.0\.1:\d+", said)) is None:
            line = server.stdout.readline()
            assert line, f"TensorBoard did not start: {said}"
            said += line
        yield Server(found[0])
    finally:
        server.kill()
        server.stdout.close()
        server.wait()


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def column(table: list[dict[str, str]], name: str) -> dict[int, Any]:
    """By step, in the precision that TensorBoard has; without the rows that say nothing."""
    return {int(row["step"]): pytest.approx(float(row[name]), rel=1e-6) for row in table if row[name]}


def test_it_reads_a_sweep(terminal: Terminal) -> None:
    terminal.trains(*SWEEP, small=False)
    runs = sorted(file.parent for file in terminal.folder.glob("sweep/*/history.csv"))
    assert len(runs) == 2
    with tensorboard(terminal.folder / "sweep") as server:
        server.loaded(*(f"{run.name}/tensorboard" for run in runs))
        for run in runs:
            name = f"{run.name}/tensorboard"
            assert_scalars(server, run, name)
            assert_pictures(server, name)
            assert_text(server, run, name)
        assert_hparams(server, runs)


def assert_scalars(server: Server, run: Path, name: str) -> None:
    history, steps = rows(run / "history.csv"), rows(run / "steps.csv")
    clock = {"samples_per_s"}  # which steps.csv has, too
    curves = {tag: column(history, tag) for tag in history[0] if "/" in tag}
    curves |= {tag: column(steps, given) for given, tag in STEP_COLUMNS.items()}
    final = json.loads((run / "manifest.json").read_text())["metrics"]
    curves |= {tag: {4: pytest.approx(value, rel=1e-6)} for tag, value in final.items()}
    assert server.json("plugin/scalars/tags")[name].keys() == curves.keys() | clock
    for tag, curve in curves.items():
        points = server.json("plugin/scalars/scalars", run=name, tag=tag)
        assert {step: value for _, step, value in points} == curve, tag


def assert_pictures(server: Server, name: str) -> None:
    tags = server.json("plugin/images/tags")[name]
    assert tags.keys() == {f"pictures/{picture}" for picture in ("error", "input", "reconstruction")}
    for tag in tags:
        shown = server.json("plugin/images/images", run=name, tag=tag, sample=0)
        assert [entry["step"] for entry in shown] == [2, 4]
        which = dict(urllib.parse.parse_qsl(shown[-1]["query"]))
        picture = Image.open(BytesIO(server.get("plugin/images/individualImage", **which)))
        assert picture.size == (2 * (8 + 1) + 1, 2 * (8 + 1) + 1)
    histograms = server.json("plugin/histograms/tags")[name]
    kinds = {
        kind: {tag.removeprefix(kind) for tag in histograms if tag.startswith(kind)}
        for kind in ("weights", "gradients")
    }
    assert kinds["weights"] == kinds["gradients"] != set()


def assert_text(server: Server, run: Path, name: str) -> None:
    assert server.json("plugin/text/tags")[name] == ["config/text_summary"]
    (shown,) = server.json("plugin/text/text", run=name, tag="config/text_summary")
    for line in (run / ".hydra/config.yaml").read_text().splitlines()[:5]:
        assert line in shown["text"]


def assert_hparams(server: Server, runs: list[Path]) -> None:
    """What was swept, beside the final scores."""
    asked = {
        "experimentName": "",
        "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"],
    }
    scored = [{"metric": {"tag": "test/loss", "group": ""}}]
    request = asked | {"colParams": scored, "startIndex": 0, "sliceSize": 10}
    groups = server.json("plugin/hparams/session_groups", request=json.dumps(request))["sessionGroups"]
    found = {group["hparams"]["optimizer.lr"]: group["metricValues"][0]["value"] for group in groups}
    assert found == {
        float(manifest["config"]["optimizer"]["lr"]): pytest.approx(manifest["metrics"]["test/loss"], rel=1e-6)
        for manifest in (json.loads((run / "manifest.json").read_text()) for run in runs)
    }
