"""Pictures of paths: that they are drawn, of what, and the same again."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from trajectory.paths import recorded

from runner.results.trajectories import pictures
from runner.results.trajectories.study import Study

pytest.importorskip("matplotlib")


@pytest.mark.slow
def test_every_picture_is_drawn(tmp_path: Path) -> None:
    study = Study.of(
        [recorded(tmp_path / f"net__{seed}", seed=seed, steps=range(0, 60, 10)) for seed in (0, 1)], pattern="conv"
    )
    files = pictures.draw(study, tmp_path, form="svg")
    assert [file.name for file in files] == [
        *("pca.svg", "kernel_pca.svg", "motion.svg", "windows.svg", "pca_from_start.svg", "seeds.svg")
    ]
    assert all(file.read_bytes().startswith(b"<?xml") for file in files)
    before = files[0].read_bytes()
    pictures.save(lambda: pictures.paths(study, study.pca, "principal component"), files[0])
    assert files[0].read_bytes() == before


def test_a_path_is_where_its_components_say(tmp_path: Path) -> None:
    study = Study.of([recorded(tmp_path / "net__0")])
    figure = pictures.paths(study, study.pca, "principal component")
    panels = [axes for axes in figure.axes if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left").split("  ")[0] for axes in panels] == ["all weights", "conv", "head"]
    (line,) = panels[1].get_lines()
    assert np.asarray(line.get_xydata()).tolist() == study.pca["conv"].coordinates.tolist()


def test_a_long_name_does_not_run_into_the_next_panel(tmp_path: Path) -> None:
    found = Study.of([recorded(tmp_path / "net__0", steps=range(0, 30, 10))], pattern="conv")
    (layer,) = found.geometries
    long = replace(found, geometries={"backbone.body.layer2.0.downsample.conv": found.geometries[layer]})
    figure = pictures.paths(long, long.pca, "principal component")
    (title,) = [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]
    assert re.fullmatch(r"….*downsample\.conv  \(\d+%, \d+%\)", title)
    assert len(title) <= pictures.TITLE


def test_what_stands_still_has_no_place_on_a_logarithmic_axis(tmp_path: Path) -> None:
    figure = pictures.motion(Study.of([recorded(tmp_path / "net__0", steps=range(0, 60, 10), thaw=20)]))
    lengths = figure.axes[1].get_lines()[0].get_ydata()
    assert np.isfinite(np.asarray(lengths)).tolist() == [False, False, True, True, True]


@pytest.mark.slow
def test_a_line_has_a_panel_a_score(tmp_path: Path) -> None:
    scores = {"valid/loss": [1.0, 3.0, 2.0], "valid/accuracy": [0.5, 0.1, 0.5]}
    figure = pictures.line(scores, [0.0, 0.5, 1.0], ("a", "b"))
    assert [axes.get_ylabel() for axes in figure.axes] == list(scores)
    assert pictures.save(lambda: figure, tmp_path / "line.png").read_bytes().startswith(b"\x89PNG")
