"""The picture of a range test. Needs matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.drawing import COLOURS, GREY, INK
from runner.finding.curve import Curve

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def picture(curve: Curve, suggestion: float | None) -> Figure:
    """Loss and smoothed loss over the learning rate, and the rate that is suggested."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 3.4))
    axes = figure.add_subplot()
    axes.plot(curve.rates, curve.losses, color=GREY, linewidth=0.8, alpha=0.7, label="loss of a batch")
    axes.plot(curve.rates, curve.smoothed, color=COLOURS[0], label="smoothed")
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("training loss")
    if suggestion is not None:
        lowest = curve.lowest
        shown = curve.losses[: lowest + 1] + curve.smoothed[: lowest + 1]
        room = 0.15 * (max(shown) - min(shown))
        axes.set_ylim(min(shown) - room, max(shown) + 2 * room)  # what diverges leaves the picture
        axes.plot(curve.rates[lowest], curve.smoothed[lowest], "o", color=INK, markersize=4, label="lowest")
        axes.axvline(suggestion, color=COLOURS[1], linestyle="--", label=f"suggestion: {suggestion:g}")
    axes.legend(frameon=False, fontsize=8)
    return figure
