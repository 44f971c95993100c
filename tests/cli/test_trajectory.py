"""``python -m runner trajectory``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cli.terminal import Answer, Terminal
from trajectory.paths import STEPS, recorded


def trajectory(terminal: Terminal, *arguments: str) -> Answer:
    return terminal.runs("trajectory", *arguments, small=False)


def test_tables_and_pictures_go_beside_the_weights_or_elsewhere(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.drawing.available", lambda: False)
    recorded(Path("sweep/net__0"))
    recorded(Path("sweep/net__1"), seed=1)
    answer = trajectory(terminal, "sweep/net__0", "--layers", "conv")
    assert (answer.status, answer.err) == (0, "")
    assert f"1 run, {len(STEPS)} snapshots, steps 0 to 55" in answer.out
    assert "no pictures: they need matplotlib; install runner[report]" in answer.out
    assert Path("sweep/net__0/trajectory/pca.csv").is_file()
    answer = trajectory(terminal, "sweep", "--output=out")
    assert answer.out.startswith("2 runs")
    assert Path("out/seeds.csv").is_file()


@pytest.mark.slow
def test_pictures_are_of_the_form_that_is_asked_for(terminal: Terminal) -> None:
    pytest.importorskip("matplotlib")
    recorded(Path("net__0"), steps=range(0, 30, 10))
    answer = trajectory(terminal, "net__0", "--layers=conv", "--format=png")
    assert answer.status == 0
    assert {file.name for file in Path("net__0/trajectory").glob("*.png")} == {
        *("pca.png", "kernel_pca.png", "motion.png", "windows.png")
    }


def test_export_writes_a_new_folder(terminal: Terminal) -> None:
    recorded(Path("net__0"))
    assert trajectory(terminal, "export", "net__0", "--csv", "out").out == "5 files: out\n"
    assert Path("out/layer1/part0001.csv").is_file()
    assert trajectory(terminal, "export", "net__0", "--npz=other").out == "1 file: other\n"
    again = trajectory(terminal, "export", "net__0", "--csv=out")
    assert (again.status, again.err) == (2, "runner: out: holds something already; name a new folder\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "trajectory: needs the folder of a run"),
        (["nowhere"], "nowhere: there is no such folder; name that of a run"),
        (
            ["a/trajectory"],
            "a/trajectory/trajectory/index.json: there is no such file; record weights with trajectory=epochs",
        ),
        (["export", "nowhere", "--npz=out"], "nowhere: there is no such folder"),
        (["a", "--fast"], "--fast: there is no such flag"),
        (["a", "--format=gif"], "--format=gif: must be svg or png"),
        (["a", "--layers=tail"], "tail matches no recorded tensor of a"),
        (["a", "short"], "three snapshots at least that all runs have, got 2"),
        (["export", "a"], "export: takes one run, and either --csv or --npz"),
        (["--line", "a"], "--line: takes two ends, got 1"),
        (["--line", "a", "a@0", "--points=2"], "--points=2: must be a whole number, at least 3"),
        (["--line", "a", "a@0", "--part=train"], "--part=train: must be valid or test"),
        (["--line", "nowhere", "a@0"], "nowhere: there is no such folder"),
    ],
)
def test_what_cannot_be_read_is_refused(arguments: list[str], message: str, terminal: Terminal) -> None:
    recorded(Path("a"))
    recorded(Path("short"), steps=[0, 5])
    answer = trajectory(terminal, *arguments)
    assert answer.status == 2
    assert message in answer.err
    assert not list(Path("a/trajectory").glob("*.csv"))


@pytest.mark.slow
def test_what_is_not_there_is_said_before_torch_is_loaded(tmp_path: Path) -> None:
    """Which would take seconds."""
    asked = [["trajectory", "nowhere"], ["trajectory", "export", "nowhere", "--csv=out"], ["inspect", "nowhere.pt"]]
    code = (
        f"import sys; from runner.cli.main import main; print([main(each) for each in {asked}], 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "[2, 2, 2] False\n"
