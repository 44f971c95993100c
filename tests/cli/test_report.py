"""``python -m runner report SWEEP...``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cli.terminal import Answer, Terminal
from results.report.recorded_sweep import write_job

from runner.cli import report as verb
from runner.cli.errors import reported


def report(terminal: Terminal, *arguments: str) -> Answer:
    """Without pictures, which take seconds."""
    terminal.capture.readouterr()
    status = reported(lambda: verb.main(["--no-pictures", *arguments]))
    said = terminal.capture.readouterr()
    return Answer(status, said.out, said.err)


def test_the_table_and_where_the_files_are(terminal: Terminal) -> None:
    for seed in range(3):
        write_job(Path("sweep"), seed=seed, accuracy=0.5 + seed / 10)
    answer = report(terminal, "sweep")
    assert (answer.status, answer.err) == (0, "")
    assert "3 runs in 1 group: 3 completed" in answer.out
    assert "0.60 ± 0.25" in answer.out
    assert answer.out.splitlines()[-1] == (
        "report: sweep/report.html (also report.md, report.csv, report.runs.csv, report.tex)"
    )
    assert Path("sweep/report.html").is_file()


@pytest.mark.parametrize("arguments", [("--out", "there"), ("--out=there",)])
def test_out_chooses_the_folder(terminal: Terminal, arguments: tuple[str, ...]) -> None:
    write_job(Path("sweep"))
    assert report(terminal, "sweep", *arguments).status == 0
    assert Path("there/report.html").is_file()
    assert not Path("sweep/report.html").exists()


def test_single_runs_are_sweeps_of_one(terminal: Terminal) -> None:
    for seed in range(2):
        write_job(Path("sweep"), seed=seed)
    answer = report(terminal, "sweep/lenet__0", "sweep/lenet__1", "--out=there")
    assert "2 runs in 1 group: 2 completed" in answer.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "report needs the folder of a sweep, got none"),
        (["nowhere"], "nowhere: there is no such folder; name that of a sweep"),
        (["file"], "file: is a file; name the folder of a sweep"),
        (["empty"], "empty: there is no run in it; name a sweep's"),
        (["day"], "day: there is no run in it; name the sweeps in it: day/a, day/b"),
        (["day/a", "--fast"], "--fast: there is no such flag"),
        (["day/a", "--out"], "--out: needs a value"),
        (["day/a", "--out=file"], "file"),
        (["broken"], "broken/sweep.json is damaged"),
    ],
)
def test_what_cannot_be_reported_is_refused(terminal: Terminal, arguments: list[str], message: str) -> None:
    for sweep in ("a", "b"):
        write_job(Path("day") / sweep)
    Path("empty").mkdir()
    Path("file").write_text("")
    Path("broken").mkdir()
    Path("broken/sweep.json").write_text("{")
    before = terminal.left()
    answer = report(terminal, *arguments)
    assert (answer.status, answer.out) == (2, "")
    assert any(line.startswith(message) for line in answer.messages), answer.err
    assert terminal.left() == before


def test_all_that_is_wrong_is_said_at_once(terminal: Terminal) -> None:
    assert len(report(terminal, "nowhere", "nothing", "--fast").messages) == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_sweep_of_someone_else(terminal: Terminal) -> None:
    write_job(Path("sweep"))
    Path("sweep").chmod(0o555)
    answer = report(terminal, "sweep")
    assert answer.status == 2
    assert "--out=<folder> writes the report elsewhere" in answer.messages[0]
