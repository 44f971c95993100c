"""What a report leaves, and what it costs."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from results.report.recorded_sweep import config, write_job, write_ledger

from runner import drawing
from runner.results.report import Report, report

FILES = {"report.md", "report.csv", "report.runs.csv", "report.tex", "report.html"}


def names(made: Report, folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in made.files}


def test_files_beside_the_runs(tmp_path: Path) -> None:
    write_job(tmp_path)
    made = report([tmp_path], draw=False)
    assert names(made, tmp_path) == FILES
    assert {path.name for path in tmp_path.iterdir()} == FILES | {"lenet__0"}
    assert "lenet" in made.text()


def test_files_elsewhere_link_to_the_runs(tmp_path: Path) -> None:
    write_job(tmp_path / "sweep")
    made = report([tmp_path / "sweep"], out=tmp_path / "new" / "there", draw=False)
    assert names(made, tmp_path / "new" / "there") == FILES
    assert 'href="../../sweep/lenet__0/"' in (tmp_path / "new/there/report.html").read_text()
    assert {path.name for path in (tmp_path / "sweep").iterdir()} == {"lenet__0"}


def test_two_sweeps_are_one_report(tmp_path: Path) -> None:
    for seed in range(2):
        write_job(tmp_path / "a", seed=seed, accuracy=0.5 + seed / 10)
        write_job(tmp_path / "b", seed=seed + 1, accuracy=0.5 + (seed + 1) / 10)
    made = report([tmp_path / "a", tmp_path / "b"], draw=False)
    assert [len(group.runs) for group in made.findings.groups] == [3]
    text = (tmp_path / "a" / "report.runs.csv").read_text()
    assert [line.split(",")[0] for line in text.splitlines()[1:]] == [
        "lenet__0",
        "a/lenet__1",
        "b/lenet__1",
        "lenet__2",
    ]
    assert "b/lenet__1 repeats a/lenet__1: the same numbers, counted once" in made.text()
    assert not (tmp_path / "b" / "report.md").exists()


def test_a_second_report_replaces_the_first_to_the_byte(tmp_path: Path) -> None:
    write_job(tmp_path)
    first = {file: file.read_bytes() for file in report([tmp_path], draw=False).files}
    assert first == {file: file.read_bytes() for file in report([tmp_path], draw=False).files}


@pytest.mark.slow
def test_pictures_are_files_and_in_the_page(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures need runner[report]")
    for seed in range(2):
        write_job(tmp_path, seed=seed, curve=[0.5, 0.75 + seed / 10])
    made = report([tmp_path])
    drawn = {f"curves/{name}.svg" for name in ("valid_accuracy", "train_loss", "test_accuracy", "test_loss")}
    assert names(made, tmp_path) == FILES | drawn
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == 4
    assert "![curves/valid_accuracy.svg](curves/valid_accuracy.svg)" in (tmp_path / "report.md").read_text()
    before = {file: file.read_bytes() for file in made.files}
    assert before == {file: file.read_bytes() for file in report([tmp_path]).files}


@pytest.mark.slow
def test_a_single_run_has_its_history(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures need runner[report]")
    run = write_job(tmp_path, curve=[0.5, 0.75], valid=0.75)
    made = report([run])
    assert names(made, run) == FILES | {"history/loss.svg", "history/accuracy.svg"}
    assert "<!-- best 0.75 at 2 -->" in (run / "history/accuracy.svg").read_text()
    assert (run / "report.html").read_text().count("<svg") == 2
    assert names(report([run], out=tmp_path / "there"), tmp_path / "there") == names(made, run)
    assert not any(name.startswith("history/") for name in names(report([tmp_path]), tmp_path))


def test_without_matplotlib_it_says_what_to_install_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_job(tmp_path, curve=[0.5])
    monkeypatch.setattr(drawing, "available", lambda: False)
    made = report([tmp_path])
    assert names(made, tmp_path) == FILES
    assert "pip install 'runner[report]'" in made.text()


def test_nothing_to_report(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no run"):
        report([tmp_path])
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_that_has_not_begun(tmp_path: Path) -> None:
    write_ledger(tmp_path, [(f"lenet__{seed}", config(seed=seed), {"model": "lenet"}) for seed in range(2)])
    assert "2 runs in 1 group: 2 missing" in report([tmp_path], draw=False).text()


@pytest.mark.slow
def test_it_is_cheap_enough_to_write_after_each_job(tmp_path: Path) -> None:
    for place in range(10):
        for seed in range(4):
            settings = {"optimizer__lr": float(place)}
            write_job(tmp_path, seed=seed, name=f"lenet__{seed}__lr={place}", settings=settings, curve=[0.5] * 20)
    report([tmp_path], draw=False)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        report([tmp_path], draw=False)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.3


@pytest.mark.slow
@pytest.mark.parametrize("option", ["", "--no-pictures"])
def test_torch_is_not_imported(tmp_path: Path, option: str) -> None:
    write_job(tmp_path, seed=0, curve=[0.5])
    write_job(tmp_path, seed=1, curve=[0.6])
    code = (
        "import sys; from runner.cli import report; before = {'torch', 'numpy'} & set(sys.modules); "
        "status = report.main(sys.argv[1:]); print(status, before, 'torch' in sys.modules)"
    )
    words = [option] * bool(option)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), *words], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "0 set() False"
