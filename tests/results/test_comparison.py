"""Two runs side by side. Each kind of difference is seen, and what is no difference is not."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from results.recorded_run import CODE, CONFIG, ENVIRONMENT, LINES, line, write_run

from runner.checkpoint import FORMAT, write_whole
from runner.results.comparison import Comparison, compare
from runner.results.parting import largest_difference
from runner.results.sources import SHOWN_LINES, changed_lines


@pytest.fixture
def a(tmp_path: Path) -> Path:
    """A completed run of two evaluations, at steps 10 and 20."""
    return write_run(tmp_path / "a")


def against(a: Path, **of_b: Any) -> Comparison:
    """Run A beside another that is the same but for ``of_b``."""
    return compare(a, write_run(a.parent / "b", **of_b))


def test_the_same_numbers_are_identical_whenever_they_were_computed(a: Path) -> None:
    found = against(a)
    assert found.identical
    assert found.text().splitlines() == [
        "IDENTICAL: 2 evaluations, 2 tensors, test scores",
        f"  A: {a} (completed at step 20)",
        f"  B: {a.parent / 'b'} (completed at step 20)",
    ]


def test_nan_equals_nan_and_times_do_not_count(tmp_path: Path) -> None:
    nan = [line(0), line(10, norms=(math.nan,), metrics={"valid/loss": math.nan, "samples_per_s": 1.0})]
    other = [line(0), line(10, norms=(math.nan,), metrics={"valid/loss": math.nan, "samples_per_s": 2.0})]
    a = write_run(tmp_path / "a", lines=nan, metrics={"test/loss": math.nan})
    assert against(a, lines=other, metrics={"test/loss": math.nan}).identical


@pytest.mark.parametrize(
    ("recorded", "shown"),
    [
        ([line(0), line(10, norms=(1.0, 2.5), metrics={"valid/loss": 0.5}), LINES[2]], "1 of 2 tensors differ"),
        ([line(0), line(10, metrics={"valid/loss": math.nextafter(0.5, 1)}), LINES[2]], "valid/loss: 0.5 in A"),
        ([line(0), line(10, metrics={"valid/loss": math.nan}), LINES[2]], "valid/loss: 0.5 in A, nan in B"),
        (
            [line(0), line(10, metrics={"valid/loss": 0.5, "valid/f1": 1.0}), LINES[2]],
            "valid/f1: absent in A, 1.0 in B",
        ),
        (
            [line(0), line(10, norms=(1.0,), metrics={"valid/loss": 0.5}), LINES[2]],
            "model.1.weight: norm 2.0 in A, absent",
        ),
        ([line(0), LINES[2]], "step 10: evaluated in A only"),
        ([line(0), line(5), *LINES[1:]], "step 5: evaluated in B only"),
        ([line(0), LINES[1] | {"weights_sha256": "e" * 64}, LINES[2]], "in which tensor is not recorded"),
    ],
)
def test_the_first_evaluation_that_differs_is_found(a: Path, recorded: list[dict[str, Any]], shown: str) -> None:
    found = against(a, lines=recorded)
    assert not found.identical
    assert found.parting is not None
    assert found.verdict().startswith(f"DIFFERENT from the evaluation at step {found.parting.step} (epoch ")
    assert shown in found.text()


def test_where_they_part_tensors_and_scores_are_told_with_both_values(a: Path) -> None:
    later = line(20, norms=(1.0, 2.5), metrics={"valid/loss": 0.5, "valid/accuracy": 0.75})
    text = against(a, lines=[*LINES[:2], later]).text()
    assert text.startswith("DIFFERENT from the evaluation at step 20 (epoch 2) on; 1 evaluation before it the same\n")
    assert "step 20: 1 of 2 tensors differ; the first is model.1.weight: norm 2.0 in A, norm 2.5 in B" in text
    assert "step 20: valid/loss: 0.25 in A, 0.5 in B, off by 0.25 (relative 1)" in text
    assert "valid/accuracy" not in text


def test_other_initial_weights_are_told_as_such(a: Path) -> None:
    found = against(a, lines=[line(0, norms=(3.0, 2.0)), *LINES[1:]], initial_weights_sha256="e" * 64)
    assert found.verdict() == "DIFFERENT from the initial weights on"
    assert "no evaluation in common" not in found.text()
    assert "  the initial weights differ" in found.text().splitlines()


def test_another_first_batch_is_a_difference(a: Path) -> None:
    found = against(a, first_batch_sha256="e" * 64)
    assert not found.identical
    assert found.verdict() == "DIFFERENT at the start; 2 evaluations after it the same"


def test_a_digest_that_was_not_recorded_is_no_difference(a: Path) -> None:
    assert against(a, first_batch_sha256=None).identical


@pytest.mark.parametrize(
    ("facts", "shown"),
    [
        ({"weights_sha256": "e" * 64}, "the final weights differ"),
        ({"metrics": {"test/loss": 0.375}}, "test/loss: 0.3 in A, 0.375 in B, off by 0.075 (relative 0.25)"),
    ],
)
def test_the_end_is_compared_when_both_completed(a: Path, facts: dict[str, Any], shown: str) -> None:
    found = against(a, **facts)
    assert found.verdict() == "DIFFERENT in the end; 2 evaluations before it the same"
    assert f"  {shown}" in found.text().splitlines()


def test_a_shorter_run_is_compared_as_far_as_it_went(a: Path) -> None:
    found = against(a, lines=LINES[:2], state="failed", step=13, reason="no memory\nat all")
    assert found.identical
    assert found.verdict() == (
        "IDENTICAL up to step 10: 1 evaluation, 2 tensors; B evaluated no further (failed at step 13: no memory)"
    )
    assert "test scores" not in found.text()


def test_a_longer_run_need_not_evaluate_where_the_shorter_ended(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", lines=[*LINES[:2], line(15)], step=15)
    assert against(a).identical
    assert not compare(a, write_run(tmp_path / "c", lines=[line(0), LINES[2]])).identical


def test_no_further_than_asked(a: Path) -> None:
    b = write_run(a.parent / "b", lines=[*LINES[:2], line(20, norms=(5.0, 2.0))], weights_sha256="e" * 64)
    assert not compare(a, b).identical
    found = compare(a, b, until_step=10)
    assert found.identical
    assert found.verdict() == "IDENTICAL up to step 10: 1 evaluation, 2 tensors; no more was asked for"


def test_nothing_to_compare_is_not_identical(a: Path) -> None:
    found = against(a, lines=LINES[:1], state="failed", step=3, reason="no memory")
    assert not found.identical
    assert found.verdict() == "NOTHING TO COMPARE: B recorded no evaluation (failed at step 3: no memory)"
    found = compare(a, a.parent / "b", until_step=5)
    assert not found.identical
    found = compare(a, write_run(a.parent / "c"), until_step=5)
    assert found.verdict().endswith(
        "no evaluation in common up to step 5; the first is at step 10 in A and step 10 in B"
    )


OTHER = [*LINES[:2], line(20, norms=(9.0, 2.0))]


@pytest.mark.parametrize(
    ("facts", "section", "shown"),
    [
        ({"config": {**CONFIG, "optimizer": {"lr": 0.2}}}, "configuration", "optimizer.lr: 0.1 in A, 0.2 in B"),
        ({"config": {**CONFIG, "x": None}}, "configuration", "x: absent in A, None in B"),
        ({"environment": {**ENVIRONMENT, "versions": {"torch": "2.10"}}}, "environment", "versions.torch: 2.9.0 in A"),
        ({"threads": 2}, "environment", "threads: 1 in A, 2 in B"),
        ({"data": {"sha256": "e" * 64, "sizes": {"train": 80}}}, "data", f"sha256: {'d' * 12} in A, {'e' * 12} in B"),
        (
            {"sessions": [{"first_step": 10, "changed": {"config.trainer.epochs": [1, 2]}}]},
            "configuration",
            "B went on at step 10 with trainer.epochs=2 instead of 1",
        ),
        (
            {"sessions": [{"first_step": 10, "changed": {"environment.python": ["3.11", "3.12"]}}]},
            "environment",
            "B went on at step 10 with environment.python=3.12 instead of 3.11",
        ),
    ],
)
def test_what_may_explain_a_difference_is_named(a: Path, facts: dict[str, Any], section: str, shown: str) -> None:
    text = against(a, lines=OTHER, **facts).text()
    assert shown in text.partition(f"\n{section}\n")[2]
    assert "nothing that was recorded explains this" not in text


def test_explanations_alone_are_no_difference(a: Path) -> None:
    found = against(a, config={**CONFIG, "logger": {}}, threads=2)
    assert found.identical
    assert found.text().startswith("IDENTICAL")
    assert "threads: 1 in A, 2 in B" in found.text()


def test_what_only_one_has_is_told_once(a: Path) -> None:
    found = against(a, environment={**ENVIRONMENT, "switches": {"OMP_NUM_THREADS": "1"}})
    assert found.environment == ("switches.OMP_NUM_THREADS: absent in A, 1 in B",)


def test_all_settings_that_differ_are_listed(a: Path) -> None:
    many = {f"key{place}": place for place in range(30)}
    assert len(against(a, config={**CONFIG, **many}).configuration) == 30


def test_the_saved_configuration_serves_when_the_manifest_has_none(a: Path) -> None:
    b = write_run(a.parent / "b", config=None)
    assert compare(a, b).configuration == ("not recorded in B",)
    (b / ".hydra").mkdir()
    (b / ".hydra/config.yaml").write_text("seed: 0\noptimizer: {lr: 0.3}\ntrainer: {epochs: 2}\n")
    assert compare(a, b).configuration == ("optimizer.lr: 0.1 in A, 0.3 in B",)


def test_a_difference_without_a_reason_says_so(a: Path) -> None:
    git = [{"name": "here", "commit": "f" * 40, "branch": "main", "dirty": False, "untracked": []}]
    text = against(a, lines=OTHER, code=CODE | {"git": git}).text()
    assert "nothing that was recorded explains this" in text
    assert "debug=determinism" in text
    assert f"here.commit: absent in A, {'f' * 12} in B" in text


def test_untracked_files_are_told_apart(a: Path) -> None:
    left = write_run(a.parent / "c", code=CODE | {"git": [{"name": "here", "untracked": ["both", "left"]}]})
    right = write_run(a.parent / "d", code=CODE | {"git": [{"name": "here", "untracked": [*"1234567", "both"]}]})
    assert compare(left, right).checkouts == (
        "here: untracked in A only: left",
        "here: untracked in B only: 1, 2, 3, 4, 5 and 2 more",
    )


def test_own_modules_are_loaded_as_the_command_needs_them(a: Path) -> None:
    more = {"runner.cli.reproduce": "3" * 64, "own.extra": "4" * 64}
    found = against(a, code={"git": [], "modules": {**CODE["modules"], **more}})
    assert found.code == ("own.extra: loaded in B only",)
    assert found.sources == ()


def test_the_tensor_that_is_furthest_apart_is_read_from_the_checkpoints(a: Path) -> None:
    b = write_run(a.parent / "b", lines=OTHER, weights_sha256="e" * 64)
    for folder, value in ((a, 1.0), (b, 1.5)):
        task = {"model.0.weight": torch.ones(2), "model.1.weight": torch.tensor([0.0, value])}
        write_whole(folder / "checkpoints/last.pt", {"format": FORMAT, "step": 20, "parts": {"task": task}})
    shown = "step 20: the weights are furthest apart in model.1.weight, by 0.5"
    assert shown in compare(a, b).text()
    (b / "checkpoints/last.pt").write_bytes(b"half of it")
    assert "the last weights cannot be compared" in compare(a, b).text()


def test_tensors_apart() -> None:
    one, nan, inf = torch.ones(2), torch.tensor([math.nan, 1.0]), torch.tensor([math.inf, 1.0])
    assert largest_difference({"w": nan, "v": inf}, {"w": nan.clone(), "v": inf.clone()}) is None
    assert largest_difference({"w": one, "v": nan}, {"w": one + 1, "v": one}) == ("v", math.inf)
    assert largest_difference({"w": one, "v": one}, {"w": torch.ones(3), "u": one}) is None
    assert largest_difference({"n": torch.tensor(3)}, {"n": torch.tensor(5)}) == ("n", 2.0)
    assert largest_difference({}, {}) is None


def test_half_a_line_of_a_killed_run_is_left_out(a: Path) -> None:
    b = write_run(a.parent / "b", lines=LINES[:2], state="running")
    with (b / "digests.jsonl").open("a") as file:
        file.write(json.dumps(LINES[2])[:50])
    found = compare(a, b)
    assert found.evaluations == 1
    assert found.verdict().endswith("B evaluated no further (running, or killed)")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("digests.jsonl", '{"step": 0}\n', "line 1 is not the record of an evaluation"),
        ("digests.jsonl", "nonsense\n", "line 1 is not the record of an evaluation"),
        ("digests.jsonl", f"{json.dumps(LINES[1])}\n" * 2, "line 2 is of step 10, which comes after step 10"),
        ("manifest.json", "{", "manifest.json is damaged"),
    ],
)
def test_records_that_cannot_be_understood_are_named(a: Path, file: str, content: str, message: str) -> None:
    b = write_run(a.parent / "b")
    (b / file).write_text(content)
    with pytest.raises(ValueError, match=message):
        compare(a, b)


def test_a_folder_without_a_manifest_is_no_run(a: Path) -> None:
    with pytest.raises(ValueError, match="not the folder of a run"):
        compare(a, a.parent)


# The text of changed source files

BEFORE, AFTER = "WIDTH = 1\nDEPTH = 2\n", "WIDTH = 1\nDEPTH = 3\n"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def code(text: str, **git: Any) -> dict[str, Any]:
    """What a run records whose module ``their_model`` had this text."""
    return {"git": [{"name": "here", **git}] if git else [], "modules": {"their_model": digest(text)}}


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a module that could be imported, and has the second text."""
    folder = tmp_path / "code" / "src"
    folder.mkdir(parents=True)
    monkeypatch.syspath_prepend(str(folder))
    (folder / "their_model.py").write_text(AFTER)
    return folder / "their_model.py"


def test_without_its_text_a_changed_file_is_only_named(tmp_path: Path, module: Path) -> None:
    a = write_run(tmp_path / "a", code=code(BEFORE))
    assert against(a, code=code(AFTER)).sources == (
        "their_model: changed",
        "  the text that A had is no longer to be found",
    )
    module.unlink()
    assert compare(a, a.parent / "b").sources[1] == "  the text that A and B had is no longer to be found"
    assert "their_model" not in sys.modules


@pytest.mark.slow
def test_the_changed_lines_come_from_the_commit(tmp_path: Path, module: Path) -> None:
    module.write_text(BEFORE)
    git(module.parent.parent, "init", "-q")
    git(module.parent.parent, "add", "-A")
    git(module.parent.parent, "commit", "-qm", "first")
    commit = git(module.parent, "rev-parse", "HEAD").strip()
    module.write_text(AFTER)
    a = write_run(tmp_path / "a", code=code(BEFORE, commit=commit))
    lines = against(a, code=code(AFTER, commit=commit), lines=OTHER).sources
    assert "  -DEPTH = 2" in lines
    assert "  +DEPTH = 3" in lines


@pytest.mark.slow
def test_the_changed_lines_come_from_the_saved_diff(tmp_path: Path, module: Path) -> None:
    module.write_text("WIDTH = 0\nDEPTH = 2\n")
    git(module.parent.parent, "init", "-q")
    git(module.parent.parent, "add", "-A")
    git(module.parent.parent, "commit", "-qm", "first")
    commit = git(module.parent, "rev-parse", "HEAD").strip()
    module.write_text(BEFORE)  # what run A had, never committed
    a = write_run(tmp_path / "a", code=code(BEFORE, commit=commit, diff="code.diff"))
    (a / "code.diff").write_text(git(module.parent, "diff", "HEAD"))
    module.write_text(AFTER)
    lines = against(a, code=code(AFTER, commit=commit)).sources
    assert lines[0] == "their_model: changed"
    assert [line for line in lines if line.startswith(("  -D", "  +D"))] == ["  -DEPTH = 2", "  +DEPTH = 3"]
    (a / "code.diff").write_text("no diff at all\n")
    assert "no longer to be found" in compare(a, a.parent / "b").sources[1]


def test_a_long_difference_is_cut() -> None:
    before, after = ("\n".join(f"{word} {place}" for place in range(100)) for word in ("old", "new"))
    lines = changed_lines("m", before, after)
    assert len(lines) == SHOWN_LINES + 1
    assert lines[-1] == "and 163 more lines"
