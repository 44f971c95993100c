"""``python -m runner diff A B``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cli.terminal import Answer, Terminal
from results.recorded_run import LINES, line, write_run


def diff(terminal: Terminal, *arguments: str) -> Answer:
    return terminal.runs("diff", *arguments, small=False)


def test_identical_runs_end_with_0_and_different_ones_with_1(terminal: Terminal) -> None:
    write_run(Path("a"))
    write_run(Path("b__lr=0.1"), threads=2)
    write_run(Path("c"), lines=[*LINES[:2], line(20)])
    same = diff(terminal, "a", "b__lr=0.1")
    assert (same.status, same.err) == (0, "")
    assert same.out.startswith("IDENTICAL: 2 evaluations, 2 tensors, test scores\n  A: a (completed at step 20)\n")
    different = diff(terminal, "a", "c")
    assert (different.status, different.err) == (1, "")
    assert different.out.startswith("DIFFERENT from the evaluation at step 20 (epoch 2) on")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "diff compares two runs, got 0"),
        (["a"], "diff compares two runs, got 1"),
        (["a", "sweep/x", "sweep/y"], "diff compares two runs, got 3"),
        (["a", "./a"], "a: is the same folder twice"),
        (["a", "sweep/x", "trainer.epochs=3"], "trainer.epochs=3: diff takes no options and no overrides"),
        (["a", "sweep/x", "--fast"], "--fast: diff takes no options and no overrides"),
        (["a", "nowhere"], "nowhere: there is no such folder"),
        (["a", "empty"], "empty: is not the folder of a run: it has no manifest.json"),
        (["a", "sweep"], "sweep: is a sweep; name one of its runs: sweep/x, sweep/y"),
        (["sweep/x", "a/.hydra"], "a/.hydra: lies in the folder of a run; name a"),
    ],
)
def test_what_is_no_pair_of_runs_is_refused(terminal: Terminal, arguments: list[str], message: str) -> None:
    for folder in ("a", "sweep/x", "sweep/y"):
        write_run(Path(folder))
    for other in ("empty", "a/.hydra"):
        Path(other).mkdir()
    before = terminal.left()
    answer = diff(terminal, *arguments)
    assert answer.status == 2
    assert any(line.startswith(message) for line in answer.messages), answer.err
    assert (answer.out, terminal.left()) == ("", before)


def test_all_that_is_wrong_is_said_at_once(terminal: Terminal) -> None:
    assert len(diff(terminal, "nowhere", "nothing", "--fast").messages) == 3


def test_help(terminal: Terminal) -> None:
    answer = diff(terminal, "--help")
    assert (answer.status, answer.err) == (0, "")
    assert "usage: python -m runner" in answer.out


def test_damaged_records_are_an_answer_not_a_traceback(terminal: Terminal) -> None:
    write_run(Path("a"))
    write_run(Path("b"))
    Path("b/manifest.json").write_text("{")
    answer = diff(terminal, "a", "b")
    assert answer.status == 2
    assert "b/manifest.json is damaged" in answer.messages[0]


@pytest.mark.slow
def test_torch_is_imported_only_to_compare_weights(tmp_path: Path) -> None:
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", metrics={"test/loss": 0.0})
    code = (
        "import sys; from runner.cli.main import main; "
        "status = main(['diff', *sys.argv[1:]]); print(status, {'torch', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "a", tmp_path / "b"], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "1 set()"


@pytest.mark.slow
def test_real_runs(terminal: Terminal) -> None:
    terminal.trains("hydra.run.dir=a")
    terminal.trains("hydra.run.dir=b")
    terminal.trains("hydra.run.dir=c", "optimizer.lr=0.5")
    same = diff(terminal, "a", "b")
    assert same.status == 0, same.out
    assert same.out.startswith("IDENTICAL: 1 evaluation, 4 tensors, test scores")
    other = diff(terminal, "a", "c")
    assert other.status == 1
    assert other.out.startswith("DIFFERENT from the evaluation at step 2 ")
    assert "step 2: 4 of 4 tensors differ; the first is model." in other.out
    assert "the weights are furthest apart in model." in other.out
    assert "  optimizer.lr: " in other.out.partition("\nconfiguration\n")[2]
