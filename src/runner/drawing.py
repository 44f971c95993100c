"""What all pictures have in common: colours told apart by everybody, lines, words. Needs matplotlib to draw."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

IMPORTS = ("matplotlib.figure", "matplotlib.backends.backend_svg")  # what ``svg`` takes
INK = "#262626"  # of words and axes; a page replaces it by the colour of its own text
# Okabe and Ito's colours, told apart by colour-blind people, too; without yellow, which is faint on white
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
LINES = ("-", "--", "-.", ":")
GREY = "#8c8c8c"
STYLE = {
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 9,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.grid": True,
    "grid.color": GREY,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


def available() -> bool:
    """Whether there is matplotlib."""
    return importlib.util.find_spec("matplotlib") is not None


def logarithmic(values: Sequence[float]) -> bool:
    """Whether these, finite and at least one, are told apart by their magnitudes only: over two decades."""
    return min(values) > 0 and max(values) > 100 * min(values)


def literal(text: str) -> str:
    """What stands between dollars would be a formula."""
    return text.replace("$", r"\$")


def svg(title: str, draw: Callable[[Axes], None], *, width: float, height: float) -> str:
    """``width`` and ``height`` in inches. The same numbers make the same file."""
    import matplotlib
    from matplotlib.figure import Figure

    style: Any = {**STYLE, "svg.hashsalt": title}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(width, height))
        draw(figure.add_subplot())
        written = io.StringIO()
        metadata = {"Title": title, "Date": None, "Creator": None, "Type": None, "Format": None}
        figure.savefig(written, format="svg", bbox_inches="tight", metadata=metadata)
    return written.getvalue()
