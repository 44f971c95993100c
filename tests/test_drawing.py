"""What all pictures have in common."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest
from omegaconf import OmegaConf

from hydra_plugins.runner_plugins import pool_launcher
from runner import drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

needs_matplotlib = pytest.mark.skipif(not drawing.available(), reason="pictures need runner[report]")


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1.0, 101.0], True), ([1.0, 100.0], False), ([0.0, 1000.0], False), ([-1.0, 1000.0], False), ([2.0], False)],
)
def test_a_scale_is_logarithmic_for_over_two_decades(values: list[float], expected: bool) -> None:
    assert drawing.logarithmic(values) == expected


@needs_matplotlib
def test_the_same_numbers_make_the_same_file() -> None:
    def draw(axes: Axes) -> None:
        axes.set_xlabel(drawing.literal("$1 and $2"))

    first, second = (drawing.svg("a", draw, width=1, height=1) for _ in range(2))
    assert first == second
    assert "DejaVuSans-Oblique" not in first, "no formula, whose letters lean"
    ET.fromstring(first)


@needs_matplotlib
def test_a_pool_brings_what_its_jobs_draw_with() -> None:
    loggers: list[dict[str, object] | None] = [{}, None, {"csv": {}}, {"csv": {}, "history": {}}]
    asked = [OmegaConf.create({"logger": logger}) for logger in loggers]
    assert pool_launcher._drawing(asked[:3]) == ()
    assert pool_launcher._drawing(asked) == drawing.IMPORTS


@pytest.mark.slow
@needs_matplotlib
def test_what_is_brought_is_all_that_takes_time() -> None:
    imports = "".join(f"import {name}\n" for name in drawing.IMPORTS)
    draw = "drawing.svg('a', lambda axes: axes.plot([1, 2], label='b'), width=1, height=1)"
    late = "sorted({name.partition('.')[0] for name in set(sys.modules) - before} & {'matplotlib', 'PIL', 'numpy'})"
    code = f"import sys\nfrom runner import drawing\n{imports}before = set(sys.modules)\n{draw}\nprint({late})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
