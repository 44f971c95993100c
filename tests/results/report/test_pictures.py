"""Pictures as SVG. What they look like is seen in the page."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from results.report.recorded_sweep import write_job

from runner.drawing import COLOURS, GREY, LINES
from runner.results.report.curves import curves
from runner.results.report.findings import Findings, find
from runner.results.report.gather import gathered
from runner.results.report.pictures import DRAWN, curve_picture, score_picture

pytest.importorskip("matplotlib", reason="pictures need runner[report]")


def findings_of(sweep: Path, *, groups: int, seeds: int = 2) -> Findings:
    for place in range(groups):
        for seed in range(seeds):
            accuracy = 0.5 + 0.01 * place + 0.003 * seed
            curve = [accuracy / 2, accuracy]
            write_job(
                sweep,
                seed=seed,
                name=f"lenet__{seed}__{place}",
                settings={"optimizer__lr": float(place)},
                accuracy=accuracy,
                valid=0.5 + (place == groups - 1) * 0.1,
                curve=curve,
            )
    return find(gathered([sweep]), title="sweep")


def accuracy_of(findings: Findings) -> str:
    found = curves(findings)
    return curve_picture("valid/accuracy", found.by_metric["valid/accuracy"], found.unit, findings.preferred)


def test_a_line_and_a_band_for_each_group(tmp_path: Path) -> None:
    svg = accuracy_of(findings_of(tmp_path, groups=2))
    ET.fromstring(svg)
    for colour in COLOURS[:2]:
        assert f"fill: {colour.lower()}; fill-opacity: 0.18" in svg
        assert f"stroke: {colour.lower()}" in svg
    assert "stroke-dasharray" in svg  # the second line is told apart without its colour, too


def test_one_seed_has_no_band(tmp_path: Path) -> None:
    assert "fill-opacity" not in accuracy_of(findings_of(tmp_path, groups=1, seeds=1))


@pytest.mark.slow
def test_of_many_groups_the_preferred_one_has_a_colour_and_others_are_grey(tmp_path: Path) -> None:
    svg = accuracy_of(findings_of(tmp_path, groups=DRAWN + 2))
    assert len(re.findall(f"stroke: {GREY}; stroke-width: 0.8", svg)) == 2 + 1  # and one in the legend
    assert len(set(zip(COLOURS * 2, LINES * 3, strict=True))) >= DRAWN


@pytest.mark.slow
def test_no_date_and_no_chance(tmp_path: Path) -> None:
    findings = findings_of(tmp_path, groups=2)
    first = (accuracy_of(findings), score_picture(findings.tested[0], findings.groups))
    assert first == (accuracy_of(findings), score_picture(findings.tested[0], findings.groups))
    assert "dc:date" not in first[0]


@pytest.mark.slow
def test_scores_of_each_seed(tmp_path: Path) -> None:
    findings = findings_of(tmp_path, groups=2, seeds=3)
    svg = score_picture(findings.tested[0], findings.groups)
    ET.fromstring(svg)
    assert len(re.findall(rf'<use [^>]*style="fill: {COLOURS[0].lower()}', svg)) == 6


@pytest.mark.slow
def test_a_dollar_begins_no_formula(tmp_path: Path) -> None:
    write_job(tmp_path, name="a", settings={"optimizer__lr": "$x_{$"}, curve=[0.5])
    write_job(tmp_path, name="b", settings={"optimizer__lr": "$y"}, curve=[0.5])
    findings = find(gathered([tmp_path]), title="sweep")
    ET.fromstring(accuracy_of(findings))
    ET.fromstring(score_picture(findings.tested[0], findings.groups))
