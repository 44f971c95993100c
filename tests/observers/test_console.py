"""Console: plain lines, and the bar."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
import torch
from torch import nn

from runner.observers import Console, EvaluationRecord, Outcome, RunInfo, StepRecord
from runner.observers.console import aligned, number
from runner.plan import Plan
from runner.tasks.task import Task

PLAN = Plan.of(steps_per_epoch=50, epochs=3)


def run_info(first_step: int = 0) -> RunInfo:
    return RunInfo(name="vgg16__0", folder=None, task=Task(), plan=PLAN, first_step=first_step)


def step_record(step: int) -> StepRecord:
    return StepRecord(step, PLAN.epoch(step), {"train/loss": 0.5}, {"lr": 1e-5}, 1234.0, 10.0, None)


def evaluation_record(step: int, accuracy: float, best: float) -> EvaluationRecord:
    metrics = {"train/loss": 0.25, "valid/accuracy": accuracy}
    return EvaluationRecord(step, PLAN.epoch(step), metrics, {"valid/accuracy": best}, {"lr": 0.1}, 999.0, 75.0)


def tell(console: Console) -> None:
    console.started(run_info())
    console.logged(step_record(25))
    console.evaluated(evaluation_record(50, 0.9, 0.9))
    console.evaluated(evaluation_record(100, 0.8, 0.9))
    console.finished(Outcome("completed", 150, {"test/accuracy": 0.875}))


def test_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    tell(Console(every_s=0))  # pytest's capture is not a terminal
    start, step, first, second, end = capsys.readouterr().out.splitlines()
    assert start == "vgg16__0: 150 steps, 3 epochs"
    expected = "epoch 0.50/3 step 25/150 train/loss 0.5000 lr 1.000e-05 1234 samples/s ETA 0:00:50"
    assert " ".join(step.split()) == expected
    assert "valid/accuracy    0.9000*" in first
    assert first.endswith("0:01:15")
    assert "valid/accuracy    0.8000 " in second
    assert first.index("train/loss") == second.index("train/loss")
    assert first.index("samples/s") == second.index("samples/s")
    assert end == "completed at step 150: test/accuracy 0.8750"


def test_steps_are_silent_until_it_is_time(capsys: pytest.CaptureFixture[str]) -> None:
    tell(Console(every_s=3600))
    assert "ETA" not in capsys.readouterr().out


def test_a_resumed_and_interrupted_run_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(plain=True)
    console.started(run_info(first_step=60))
    console.finished(Outcome("interrupted", 70, {}, "Ctrl-C"))
    assert capsys.readouterr().out.splitlines() == [
        "vgg16__0: 150 steps, 3 epochs, on from step 60",
        "interrupted at step 70: Ctrl-C",
    ]


def test_a_rate_that_was_not_measured_and_a_long_warm_up_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(every_s=0)
    console.started(run_info())
    console.logged(StepRecord(1, 0.02, {"train/loss": 0.5}, {}, None, 61.0, warmup_s=60.0))
    console.evaluated(EvaluationRecord(50, 1.0, {"valid/loss": 0.5}, {}, {}, 999.0, 75.0, warmup_s=60.0))
    _, step, evaluation = capsys.readouterr().out.splitlines()
    assert "- samples/s after 60.0 s of warm-up  ETA" in step
    assert evaluation.endswith("999 samples/s after 60.0 s of warm-up  0:01:15")


class Model(Task):
    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(shape, device="cpu"))


@pytest.mark.parametrize(
    ("task", "precision", "amx", "hinted"),
    [
        (Model(1024, 256, 3, 3), "auto", True, True),
        (Model(1024, 256, 3, 3), "fp32", True, True),
        (Model(1024, 256, 3, 3), "bf16", True, False),
        (Model(1024, 256, 3, 3), "auto", False, False),
        (Model(16, 8, 3, 3), "auto", True, False),
        (Model(1024, 4096), "auto", True, False),
        (Model(1024, 256, 3, 3).to("meta"), "auto", True, False),
    ],
    ids=str,
)
def test_bf16_is_hinted_at_where_it_pays(
    task: Task,
    precision: str,
    amx: bool,
    hinted: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("runner.numerics.has_amx", lambda: amx)
    Console().started(RunInfo("a__0", None, task, PLAN, 0, hparams={"trainer.precision": precision}))
    said = capsys.readouterr().out
    assert ("trainer.precision=bf16 trainer.channels_last=true" in said) == hinted
    assert len(said.splitlines()) == 1 + hinted


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("LINES", "40")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    tell(Console())
    assert sys.stdout is terminal
    text = terminal.getvalue()
    assert "━" in text
    assert "lr 1.000e-05" in text
    assert "ETA 0:00:50" in text
    assert "valid/accuracy    0.9000*" in text
    assert text.endswith("completed at step 150: test/accuracy 0.8750\n")


def test_rich_is_not_imported_without_a_terminal() -> None:
    program = (
        "import sys\n"
        "from runner.observers import Console, Outcome, RunInfo\n"
        "from runner.plan import Plan\n"
        "console = Console()\n"
        "console.started(RunInfo('a', None, None, Plan.of(1, epochs=1), 0))\n"
        "console.finished(Outcome('completed', 1, {}))\n"
        "print([name for name in ('rich', 'torch', 'tensorboard') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["a: 1 steps, 1 epochs", "completed at step 1", "[]"]


def test_a_negative_interval_is_refused() -> None:
    with pytest.raises(ValueError, match=r"every_s .* got -1"):
        Console(every_s=-1)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.98123, "0.9812"), (1e-5, "1.000e-05"), (0.0, "0.0000"), (float("nan"), "nan"), (123456.0, "1.235e+05")],
)
def test_number(value: float, text: str) -> None:
    assert number(value) == text


def test_nan_is_never_best() -> None:
    assert "*" not in aligned({"a": float("nan")}, best={"a": float("nan")})
