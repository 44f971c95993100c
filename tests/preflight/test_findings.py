"""What checking all jobs found, and how it is told."""

from __future__ import annotations

import pytest

from runner.preflight.findings import Findings, Gathered, spans
from runner.problem import Found, Problem, Refused

JOBS = [*(f"vgg16__{seed}" for seed in range(5)), *(f"mlp__{seed}" for seed in range(3))]
WRONG = Problem("optimizer.lr", -1, "must be positive", "set optimizer.lr=<n>")
DEEP = Problem("model.depth", 0, "must be positive", "")


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["mlp__1"], "mlp__1"),
        (JOBS[:2], "vgg16__0, vgg16__1"),
        (JOBS[:5], "vgg16__0 … vgg16__4 (5)"),
        (JOBS, "vgg16__0 … vgg16__4 (5), mlp__0 … mlp__2 (3)"),
        (["vgg16__4", "vgg16__0", "vgg16__1", "vgg16__2"], "vgg16__0 … vgg16__2 (3), vgg16__4"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_jobs_that_differ_in_the_seed_are_told_as_one_span(names: list[str], told: str) -> None:
    assert spans(names, JOBS) == told


def test_whatever_the_order_in_which_they_are_swept() -> None:
    jobs = [f"{model}__{seed}__lr=0.{seed}" for seed in range(4) for model in ("vgg16", "mlp")]
    assert spans([job for job in jobs if "mlp" in job], jobs) == ", ".join(job for job in jobs if "mlp" in job)
    jobs = [f"{model}__{seed}__lr=0.1" for seed in range(4) for model in ("vgg16", "mlp")]
    assert spans([job for job in jobs if "mlp" in job], jobs) == "mlp__0__lr=0.1 … mlp__3__lr=0.1 (4)"


def test_the_same_problem_of_several_jobs_is_one() -> None:
    gathered = Gathered()
    assert not gathered
    gathered.add([WRONG], ["a"])
    gathered.add([DEEP, WRONG], ["a", "b"])
    assert gathered.all() == [Found(WRONG, ["a", "b"]), Found(DEEP, ["a", "b"])]


def test_lines_name_the_jobs_unless_all_have_it() -> None:
    found = Findings(JOBS, wrong=[Found(WRONG, JOBS), Found(DEEP, JOBS[:1])])
    assert found.lines() == [WRONG.line(), f"{DEEP.line()}  [vgg16__0]"]
    with pytest.raises(Refused) as refused:
        found.raise_wrong()
    assert (refused.value.problems, refused.value.jobs) == (found.lines(), JOBS)


def test_what_is_not_checked_refuses_nothing() -> None:
    found = Findings(JOBS, unchecked=[Found(Problem("model", "vgg16", "needs a GPU", ""), JOBS[:5])])
    found.raise_wrong()
    assert list(found.notes()) == ["not checked: vgg16__0 … vgg16__4 (5): model=vgg16: needs a GPU"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (WRONG.line(), Problem("optimizer.lr", "-1", WRONG.text, WRONG.remedy)),
        ("a.b: is missing", Problem("a.b", None, "is missing", "")),
        ("a=1: is b; or c; do d", Problem("a", "1", "is b; or c", "do d")),
        ("nothing at all", Problem("", None, "nothing at all", "")),
    ],
)
def test_a_line_is_taken_apart_and_put_together_again(line: str, problem: Problem) -> None:
    assert Problem.of_line(line) == problem
    assert Problem.of_line(line).line().removeprefix(": ") == line
