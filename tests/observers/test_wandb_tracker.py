"""What Weights & Biases keeps of a run while nothing is connected."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hydra import compose

from runner.observers import wandb
from runner.run import run

SECRET = "0123456789abcdef0123456789abcdef01234567"
SMALL = [
    *("dataset=synthetic", "dataset.train_size=16", "dataset.valid_size=8", "dataset.test_size=8"),
    *("model=mlp", "model.hidden=[4]", "trainer.batch_size=4", "trainer.steps=6", "trainer.evaluate_every_steps=3"),
    *(
        "trainer.log_every_steps=1",
        "logger=[csv,wandb]",
        "logger.wandb.mode=offline",
        "logger.wandb.group=mine",
        "logger.wandb.wait_s=120",
    ),
]
READ = """
import json, sys
from pathlib import Path
from wandb.proto.wandb_internal_pb2 import Record

def records(content, block=32768):  # LevelDB's log format after 7 bytes: pieces with a header of crc, length, type
    place, whole = 7, b""
    while place + 7 <= len(content):
        if block - place % block < 7:
            place += block - place % block
            continue
        length, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        whole += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            yield Record.FromString(whole)
            whole = b""

found = {"config": {}, "history": [], "summary": {}, "files": [], "group": ""}
for record in records(Path(sys.argv[1]).read_bytes()):
    if record.HasField("run"):
        found["id"], found["group"] = record.run.run_id, record.run.run_group
        found["config"] |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
    row = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
    if row:
        found["history"].append(row)
    for item in record.summary.update:
        found["summary"][item.key or item.nested_key[0]] = json.loads(item.value_json)
    found["files"] += [file.path for file in record.files.files]
    if record.HasField("exit"):
        found["exit"] = record.exit.exit_code
print(json.dumps(found))
"""


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "disabled"}, "logger.wandb.mode must be one of online, offline"),
        ({"project": ""}, "logger.wandb.project must not be empty"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wandb(**settings)


def test_nobody_logged_in_is_found_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    [problem] = wandb().problems()
    assert problem.line().startswith("mode=online: nobody is logged in; set WANDB_API_KEY in the environment")
    assert wandb(mode="offline").problems() == []
    (tmp_path / "netrc").write_text(f"machine api.wandb.ai login user password {SECRET}\n")
    assert wandb().problems() == []
    (tmp_path / "netrc").unlink()
    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    assert wandb().problems() == []


@pytest.mark.slow
@pytest.mark.usefixtures("shipped")
def test_offline_it_keeps_what_the_run_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    folder = tmp_path / "mlp__0"
    folder.mkdir()
    run(compose("config", overrides=SMALL), folder, name="mlp__0")
    [file] = folder.glob("tracking/wandb/offline-run-*/*.wandb")
    read = subprocess.run([sys.executable, "-c", READ, str(file)], capture_output=True, text=True, check=True)
    kept = json.loads(read.stdout)
    assert kept["exit"] == 0
    assert kept["group"] == "mine"
    assert kept["id"] == json.loads((folder / "tracking" / "wandb.json").read_text())["key"]
    assert kept["config"]["optimizer.lr"] == 0.001
    with (folder / "history.csv").open() as lines:
        rows = {int(row["step"]): row for row in csv.DictReader(lines)}
    losses = {row["_step"]: row["valid/loss"] for row in kept["history"] if "valid/loss" in row}
    assert losses == {step: float(row["valid/loss"]) for step, row in rows.items()}
    assert (
        kept["history"][-1]["test/accuracy"]
        == json.loads((folder / "manifest.json").read_text())["metrics"]["test/accuracy"]
    )
    assert "summary.txt" in kept["files"]
    told = [path for path in folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert told == []
