"""Pictures for a paper, as SVG: learning curves with bands, and scores with their seeds. Needs matplotlib."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from runner.drawing import COLOURS, GREY, INK, LINES, literal, logarithmic, svg
from runner.results.report.curves import Curve
from runner.results.report.findings import Metric, scores
from runner.results.report.groups import Group
from runner.results.report.statistics import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DRAWN = 8  # groups with a colour of their own; of more, the others are grey
LABEL_WIDTH = 30  # characters, before a group's name is broken


def curve_picture(metric: str, drawn: Sequence[Curve], unit: str, preferred: Group | None) -> str:
    """SVG of one metric's learning curves, with a band for each group of several runs."""
    looks = _looks([curve.group for curve in drawn], preferred)

    def draw(axes: Axes) -> None:
        for curve in drawn:
            _draw_curve(axes, curve, looks.get(curve.group.name))
        axes.set_xlabel(unit)
        axes.set_ylabel(literal(metric))
        _limit(axes, drawn)
        if len(drawn) > len(looks):
            axes.plot([], [], color=GREY, linewidth=0.8, label=f"{len(drawn) - len(looks)} other groups")
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.02), borderaxespad=0, frameon=False, handlelength=2.8)

    return svg(metric, draw, width=4.1, height=2.9)


def score_picture(metric: Metric, groups: Sequence[Group]) -> str:
    """SVG of one test metric: a row for each group with its seeds as dots, the mean and its interval."""
    labels = [_broken(f"{group.name} ({_worth(scores(group, metric).estimate)})") for group in groups]
    row_height = max(0.36, 0.16 * max(label.count("\n") + 1 for label in labels))  # inches

    def draw(axes: Axes) -> None:
        for place, group in enumerate(groups):
            found = scores(group, metric)
            values = [value for value in found.values.values() if math.isfinite(value)]
            axes.plot(values, [place + 0.24] * len(values), "o", color=COLOURS[0], alpha=0.6, markersize=3.6, mew=0)
            if math.isfinite(found.estimate.mean):
                half = found.estimate.half
                axes.errorbar(
                    found.estimate.mean,
                    place,
                    xerr=half,
                    fmt="|",
                    color=INK,
                    markersize=11,
                    capsize=3.5,
                    elinewidth=1.2,
                )
        axes.set_yticks(range(len(groups)), labels)
        axes.set_ylim(len(groups) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(literal(metric.name))

    return svg(metric.name, draw, width=4.1, height=0.7 + row_height * len(groups))


def _looks(groups: Sequence[Group], preferred: Group | None) -> Mapping[str, tuple[str, str]]:
    """Colour and line of those that have their own: the first ones, and the one that validation prefers."""
    order = sorted(groups, key=lambda group: group is not preferred) if len(groups) > DRAWN else groups
    own = [group.name for group in order[:DRAWN]]
    return {name: (COLOURS[place % len(COLOURS)], LINES[place % len(LINES)]) for place, name in enumerate(own)}


def _draw_curve(axes: Axes, curve: Curve, look: tuple[str, str] | None) -> None:
    means = [found.mean for found in curve.estimates]
    if look is None:
        axes.plot(curve.at, means, color=GREY, linewidth=0.8, zorder=1)
        return
    colour, line = look
    alone = "o" if len(means) == 1 else ""
    label = _broken(f"{curve.group.name} (n={curve.n})")
    axes.plot(curve.at, means, color=colour, linestyle=line, marker=alone, label=label)
    low = [found.mean if found.low is None else found.low for found in curve.estimates]
    high = [found.mean if found.high is None else found.high for found in curve.estimates]
    if low != high:
        axes.fill_between(curve.at, low, high, color=colour, alpha=0.18, linewidth=0)


def _worth(found: Estimate) -> str:
    return f"n={found.n}" if math.isfinite(found.mean) or not found.n else f"n={found.n}, mean {found.mean}"


def _broken(name: str) -> str:
    """In several lines, if it is long: between settings, not within one."""
    lines = [""]
    for part in literal(name).split(", "):
        if lines[-1] and len(lines[-1]) + len(part) > LABEL_WIDTH:
            lines.append("")
        lines[-1] += f"{', ' if lines[-1] else ''}{part}"
    return ",\n".join(lines)


def _limit(axes: Axes, drawn: Sequence[Curve]) -> None:
    """Logarithmic for means over two decades. Bands of very few seeds may leave the picture, curves may not."""
    means = [found.mean for curve in drawn for found in curve.estimates if math.isfinite(found.mean)]
    if not means:
        return
    low, high = min(means), max(means)
    if logarithmic(means):
        axes.set_yscale("log")
        reach = math.sqrt(high / low)
        axes.set_ylim(max(axes.get_ylim()[0], low / reach), min(axes.get_ylim()[1], high * reach))
    elif high > low:
        reach = (high - low) / 2
        axes.set_ylim(max(axes.get_ylim()[0], low - reach), min(axes.get_ylim()[1], high + reach))
