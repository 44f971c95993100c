"""Learning curves of one run, as SVG: a picture for the loss and for each metric. Free of torch; needs matplotlib."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.drawing import COLOURS, GREY, INK, literal, logarithmic, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FOLDER = "history"
PARTS = ("train", "valid")
LINES = {"train": "--", "valid": "-"}
DOTTED = 24  # evaluations, up to which each is a dot
WHOLE = 3  # epochs, from which on no fraction is written at the axis


@dataclass(frozen=True)
class History:
    """What a run measured. ``scores`` go by step, in order; a name says what of: ``train/loss``, ``valid/near/loss``.

    ``best`` are the best values of some of them, ``test`` the scores of the final weights, if there are any.
    """

    scores: Mapping[int, Mapping[str, float]]
    steps_per_epoch: int | None = None
    best: Mapping[str, float] = field(default_factory=dict)
    test: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Curve:
    """``variant`` tells it from others of the same metric and part: a network, a data set, a class; or it is empty."""

    name: str
    part: str
    variant: str
    points: Mapping[int, float]  # by step; finite

    @property
    def label(self) -> str:
        return f"{self.part} {self.variant}".rstrip()


def pictures(history: History) -> dict[str, str]:
    """SVG by what it is of: ``{"loss": …, "accuracy": …}``. None of fewer than two evaluations: that is no curve."""
    found = curves(history.scores) if len(history.scores) > 1 else {}
    return {metric: picture(metric, some, history) for metric, some in found.items()}


def curves(scores: Mapping[int, Mapping[str, float]]) -> dict[str, list[Curve]]:
    """Those that belong in one picture together, the loss first."""
    points: dict[str, dict[int, float]] = {}
    for step, measured in scores.items():
        for name, value in measured.items():
            if math.isfinite(value) and name.partition("/")[0] in PARTS:
                points.setdefault(name, {})[step] = value
    metrics = [name.rpartition("/")[2] for name in points]
    found: dict[str, list[Curve]] = {}
    for name, values in points.items():
        part, *of_set, metric = name.split("/")
        family, variant = _family(metric, metrics)
        found.setdefault(family, []).append(Curve(name, part, " ".join(filter(None, (*of_set, variant))), values))
    return dict(sorted(found.items(), key=lambda item: item[0] != "loss"))


def _family(metric: str, metrics: Sequence[str]) -> tuple[str, str]:
    """The metric whose picture it is in, and what tells it apart there: ``iou_cat`` is iou's, of the class cat.

    Before that, all losses are together (``generator_loss``, ``dice_loss``), and after it metrics that end alike
    (``real_score``, ``fake_score``).
    """
    front, separator, last = metric.rpartition("_")
    whole = [other for other in metrics if metric.startswith(f"{other}_")]
    if whole and last != "loss":
        family = min(whole, key=len)
        return family, metric.removeprefix(f"{family}_")
    ends = Counter(other.rpartition("_")[2] for other in set(metrics))
    return (last, front) if separator and (last == "loss" or ends[last] > 1) else (metric, "")


def picture(metric: str, drawn: Sequence[Curve], history: History) -> str:
    """SVG of curves over epochs, or steps; the best evaluation is ringed, the test score a diamond at the end."""
    looks = _looks(drawn)
    others = {curve.variant for curve in drawn if curve.label not in looks}

    def draw(axes: Axes) -> None:
        for curve in drawn:
            _draw(axes, curve, looks.get(curve.label), history)
        if others:
            axes.plot([], [], color=GREY, linewidth=0.8, label=f"{len(others)} others")
        for curve in drawn:
            _mark_best(axes, curve, history)
        _mark_test(axes, [curve for curve in drawn if curve.label in looks], looks, history)
        axes.set_xlabel("epoch" if history.steps_per_epoch else "step")
        axes.set_ylabel(literal(metric))
        _scale(axes, metric, drawn, history)
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.02), borderaxespad=0, frameon=False, handlelength=2.8)

    return svg(metric, draw, width=4.1, height=2.9)


def _looks(drawn: Sequence[Curve]) -> dict[str, tuple[str, str]]:
    """Colour and line by label. Colours tell variants apart, as far as there are any, and lines the parts."""
    variants = _variants(drawn)
    if len(variants) == 1:
        return {curve.label: (COLOURS[PARTS.index(curve.part)], LINES[curve.part]) for curve in drawn}
    colours = dict(zip(variants, COLOURS, strict=False))
    return {curve.label: (colours[curve.variant], LINES[curve.part]) for curve in drawn if curve.variant in colours}


def _variants(drawn: Sequence[Curve]) -> list[str]:
    """The mean, or the sum, which has no name of its own, stands first."""
    return sorted(dict.fromkeys(curve.variant for curve in drawn), key=bool)


def _draw(axes: Axes, curve: Curve, look: tuple[str, str] | None, history: History) -> None:
    at, values = [_at(step, history) for step in curve.points], list(curve.points.values())
    if look is None:
        axes.plot(at, values, color=GREY, linewidth=0.8, zorder=1)
        return
    dots = "o" if len(values) <= DOTTED else ""
    axes.plot(at, values, color=look[0], linestyle=look[1], marker=dots, markersize=2.6, label=literal(curve.label))


def _mark_best(axes: Axes, curve: Curve, history: History) -> None:
    """The first evaluation that was the best one, where the run says which value that was."""
    best = history.best.get(curve.name)
    steps = [step for step, value in curve.points.items() if value == best]
    if best is None or not steps:
        return
    at = _at(steps[0], history)
    label = f"{_named('best', curve)} {best:.4g} at {at:.4g}"
    axes.plot([at], [best], "o", markersize=7.5, markerfacecolor="none", color=INK, label=label, zorder=4)


def _mark_test(axes: Axes, drawn: Sequence[Curve], looks: Mapping[str, tuple[str, str]], history: History) -> None:
    """Each in the colour of its validation curve, or else of its training curve."""
    end = _at(max(history.scores), history)
    of_test = {f"test{curve.name.removeprefix(curve.part)}": curve for curve in drawn}  # that of valid comes last
    for name, curve in of_test.items():
        value = history.test.get(name, math.nan)
        if math.isfinite(value):
            label = f"{_named('test', curve)} {value:.4g}"
            axes.plot([end], [value], "D", markersize=4.5, color=looks[curve.label][0], label=label, zorder=3)


def _scale(axes: Axes, metric: str, drawn: Sequence[Curve], history: History) -> None:
    """Shares stay as they are, however small they begin; losses may show by their magnitudes how they fall."""
    values = [value for curve in drawn for value in curve.points.values()]
    if logarithmic(values) and (metric == "loss" or max(values) > 1):
        axes.set_yscale("log")
    if _at(max(history.scores), history) >= WHOLE:
        axes.locator_params(axis="x", integer=True)


def _at(step: int, history: History) -> float:
    return step / (history.steps_per_epoch or 1)


def _named(what: str, curve: Curve) -> str:
    return literal(f"{what} {curve.variant}".rstrip())
