"""The same tables as text, Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import math
import re
from pathlib import Path

import pytest
from results.report.recorded_sweep import config, write_job, write_ledger

from runner.results.report import terminal
from runner.results.report.findings import Findings, find
from runner.results.report.formats import escaped, latex, markdown
from runner.results.report.gather import gathered
from runner.results.report.records import group_records, run_records
from runner.results.report.statistics import estimate


@pytest.fixture
def findings(tmp_path: Path) -> Findings:
    """Two models: lenet with two seeds and one that failed, vgg16 with one seed and one that is missing."""
    write_job(tmp_path, "lenet", 0, accuracy=0.50, minutes=1)
    write_job(tmp_path, "lenet", 1, accuracy=0.52, minutes=3)
    write_job(tmp_path, "lenet", 2, state="failed", reason="no | memory_left", step=7)
    write_job(tmp_path, "vgg16", 0, accuracy=0.75, valid=0.875)
    jobs = [("lenet", seed) for seed in range(3)] + [("vgg16", seed) for seed in range(2)]
    write_ledger(tmp_path, [(f"{model}__{seed}", config(model, seed), {"model": model}) for model, seed in jobs])
    return find(gathered([tmp_path]), title="day/time")


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_markdown(findings: Findings) -> None:
    text = markdown(findings, ["curves/valid_accuracy.svg"])
    assert text.startswith("# day/time\n\n5 runs in 2 groups: 3 completed, 1 failed, 1 missing\n")
    head, _, lenet, vgg16 = text.partition("## Scores\n\n")[2].splitlines()[:4]
    assert cells(head)[2:5] == [f"test/accuracy (reported): {what}" for what in ("mean ± 95 % CI", "median", "best")]
    assert cells(lenet)[:5] == ["lenet", "2", "0.51 ± 0.13", "0.51", "0.52"]
    assert cells(lenet)[-2:] == ["0:02:00", "1 failed"]
    assert cells(vgg16)[:3] == ["vgg16 ★", "1", "0.75 (n=1)"]
    assert len({len(cells(line)) for line in (head, lenet, vgg16)}) == 1
    assert r"| lenet\_\_2 | lenet | 2 | failed | 7 | no \| memory\_left |" in text
    assert r"| vgg16\_\_1 | vgg16 | 1 | missing | 0 |  |" in text
    assert "![curves/valid_accuracy.svg](curves/valid_accuracy.svg)" in text


def test_test_and_validation_are_named_in_every_head(findings: Findings) -> None:
    heads = cells(markdown(findings, []).partition("## Scores\n\n")[2].splitlines()[0])
    assert [head.partition(":")[0] for head in heads if "±" in head] == [
        "test/accuracy (reported)",
        "test/loss (reported)",
        "best valid/accuracy (to choose by)",
    ]


def test_latex(findings: Findings) -> None:
    text = latex(findings)
    rows = re.findall(r"^ +(.* & .*) \\\\$", text, flags=re.MULTILINE)
    assert rows[2].startswith("lenet & 2 & 0.51 $\\pm$ 0.13 & 0.51 & 0.52 & ")
    assert rows[3].startswith("vgg16 $\\star$ & 1 & 0.75 (n=1) & ")
    columns = re.findall(r"\\begin\{tabular\}\{([lr]+)\}", text)
    assert [row.count(" & ") + 1 for row in rows[1:4]] == [len(columns[0])] * 3
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert text.count(rule) == 2
    assert text.count("{") == text.count("}")
    assert not set(text) & set("±★–")


def test_latex_is_escaped() -> None:
    assert escaped("a_b & 50 % #1 {x} ~^ \\ -0.5 lr=1e-3 x-3") == (
        r"a\_b \& 50 \% \#1 \{x\} \textasciitilde{}\textasciicircum{} \textbackslash{} $-$0.5 lr=1e-3 x-3"
    )


def test_group_records_have_all_digits(findings: Findings) -> None:
    rows = list(csv.DictReader(io.StringIO(group_records(findings))))
    lenet = next(row for row in rows if (row["group"], row["metric"], row["minus"]) == ("lenet", "test/accuracy", ""))
    expected = estimate([0.50, 0.52])
    assert [float(lenet[key]) for key in ("mean", "ci_low", "ci_high")] == [expected.mean, expected.low, expected.high]
    assert [lenet[key] for key in ("n", "completed", "failed", "missing", "model")] == ["2", "2", "1", "0", "lenet"]
    difference = next(row for row in rows if row["minus"] and row["metric"] == "test/accuracy")
    assert (difference["group"], difference["minus"], difference["n"]) == ("lenet", "vgg16", "1")
    assert (float(difference["mean"]), difference["ci_low"]) == (0.50 - 0.75, "")


def test_run_records_have_every_run(findings: Findings) -> None:
    rows = list(csv.DictReader(io.StringIO(run_records(findings))))
    assert [(row["run"], row["state"]) for row in rows] == [
        ("lenet__0", "completed"),
        ("lenet__1", "completed"),
        ("lenet__2", "failed"),
        ("vgg16__0", "completed"),
        ("vgg16__1", "missing"),
    ]
    assert (rows[2]["reason"], rows[2]["test/accuracy"], rows[2]["valid/accuracy"]) == ("no | memory_left", "", "0.9")
    assert (rows[3]["test/accuracy"], rows[3]["valid/accuracy"], rows[3]["model.depth"]) == ("0.75", "0.875", "16")


def test_plain_text_is_aligned_and_names_what_is_missing(findings: Findings) -> None:
    lines = terminal.text(findings).splitlines()
    place = lines.index("Scores")
    band, head, lenet, vgg16 = lines[place + 1 : place + 5]
    end = head.index("mean ± 95 % CI") + len("mean ± 95 % CI")
    assert lenet[:end].endswith("0.51 ± 0.13")
    assert vgg16[:end].endswith("0.75 (n=1)")
    assert "test/accuracy (reported)" in band
    assert any(re.fullmatch(r"lenet__2 +lenet +2 +failed +7 +no \| memory_left", line) for line in lines)
    assert any(re.fullmatch(r"vgg16__1 +vgg16 +1 +missing +0", line) for line in lines)


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_narrow_terminal_gets_the_table_in_pieces(findings: Findings, width: int) -> None:
    lines = ["".join(text for text, _ in line).rstrip() for line in terminal.lines(findings, width=width)]
    scores = lines[lines.index("Scores") : lines.index("Paired differences")]
    assert max(map(len, scores)) <= width
    assert sum(line.startswith("lenet ") for line in scores) >= 2
    assert sum(line.count("mean ± 95 % CI") for line in scores) == 3


def test_square_brackets_are_no_markup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for hidden in ([8], [16]):
        write_job(tmp_path, "mlp", name=f"mlp__0__{hidden}", settings={"model__hidden": hidden})
    screen = Screen()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    terminal.show(find(gathered([tmp_path]), title="[bold]"))
    shown = screen.getvalue()
    assert "mlp, hidden=[16]" in shown
    assert "[bold]" in shown
    assert "\x1b[1m" in shown


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_no_number_is_shown_as_such(tmp_path: Path) -> None:
    write_job(tmp_path, "lenet", 0, accuracy=math.nan)
    write_job(tmp_path, "lenet", 1)
    findings = find(gathered([tmp_path]), title="x")
    lenet = markdown(findings, []).partition("## Scores\n\n")[2].splitlines()[2]
    assert cells(lenet)[2:5] == ["nan", "nan", "nan"]
    assert "test/accuracy is nan with seed 0" in markdown(findings, [])
