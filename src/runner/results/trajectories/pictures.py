"""Pictures of paths through the space of weights. Needs matplotlib."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.drawing import COLOURS, GREY, INK, STYLE
from runner.results.trajectories.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from runner.trajectory.analysis import Components

PANELS = 16  # at most in one picture; the tables have all layers
COLUMNS = 4
TITLE = 32  # characters that a panel is wide
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")  # of runs; colour is time
TIME = "viridis"
WHITE = {"figure.facecolor": "white", "savefig.facecolor": "white", "legend.fontsize": 8}


def draw(study: Study, folder: Path, *, form: str) -> list[Path]:
    """All pictures of ``study`` as files ``<name>.<form>``, svg or png."""
    pictures: dict[str, Callable[[], Figure]] = {
        "pca": lambda: paths(study, study.pca, "principal component"),
        "kernel_pca": lambda: paths(study, study.kernel_pca, "kernel component"),
        "motion": lambda: motion(study),
        "windows": lambda: window_maps(study),
    }
    if len(study.runs) > 1:
        pictures["pca_from_start"] = lambda: paths(study, study.pca_from_start, "component from the start")
        pictures["seeds"] = lambda: seeds(study)
    return [save(make, folder / f"{name}.{form}") for name, make in pictures.items()]


def save(make: Callable[[], Figure], path: Path) -> Path:
    """The same numbers make the same file."""
    import matplotlib

    with matplotlib.rc_context({**STYLE, **WHITE, "svg.hashsalt": path.name}):  # type: ignore[dict-item]
        metadata: Any = {"Date": None} if path.suffix == ".svg" else {"Software": None}
        make().savefig(path, dpi=150, bbox_inches="tight", metadata=metadata)
    return path


def paths(study: Study, found: Mapping[str, Components], what: str) -> Figure:
    """A panel a layer: the path of each run in the plane of two components, coloured by time."""
    norm = _time(study.steps)

    def panel(axes: Axes, layer: str) -> None:
        components = found[layer]
        for number in range(len(study.runs)):
            x, y = components.coordinates[study.rows(number)].T.tolist()
            axes.plot(x, y, color=GREY, linewidth=0.8, alpha=0.8, zorder=1)
            marker = MARKERS[number % len(MARKERS)]
            axes.scatter(x, y, c=study.steps, cmap=TIME, norm=norm, s=15, marker=marker, linewidths=0, zorder=2)
            axes.scatter(x[0], y[0], s=44, facecolors="none", edgecolors=INK, marker=marker, linewidths=1.1, zorder=3)
            axes.scatter(x[-1], y[-1], s=44, c="none", edgecolors=COLOURS[1], marker=marker, linewidths=1.6, zorder=4)
        first, second = (f"{share:.0%}" for share in components.shares.tolist()[:2])
        axes.set_title(_title(layer, f"  ({first}, {second})"), fontsize=8, loc="left")
        axes.set_box_aspect(1)
        axes.tick_params(labelsize=6)
        axes.locator_params(nbins=4)

    figure, used = _grid(list(study.geometries), panel)
    _colours(figure, used, norm, "step")
    figure.supxlabel(f"first {what}", fontsize=9)
    figure.supylabel(f"second {what}", fontsize=9)
    _legend(figure, study)
    return figure


def motion(study: Study) -> Figure:
    """Distance from the start, speed and direction over time, a line for each layer, the mean over the runs."""
    import torch
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 3.0), layout="constrained")
    figure.set_layout_engine("constrained", w_pad=0.12)
    axes = figure.subplots(1, 3)
    gaps = torch.tensor(study.steps).diff()
    looks = _looks(list(study.geometries))
    for layer, geometry in study.geometries.items():
        runs = [geometry.among(study.rows(number)) for number in range(len(study.runs))]
        away = torch.stack([run.squared_distances()[0].sqrt() / run.norms[0] for run in runs]).mean(0)
        speed = torch.stack([run.step_lengths() / gaps for run in runs]).mean(0)
        cosines = torch.stack([run.cosines() for run in runs]).mean(0)
        axes[0].plot(study.steps, away, label=layer, **looks[layer])
        axes[1].plot(study.steps[1:], speed.where(speed > 0, torch.nan), **looks[layer])  # frozen: no logarithm
        axes[2].plot(study.steps[1:-1], cosines, **looks[layer])
    axes[0].set_ylabel("distance from the start / norm there")
    axes[1].set_ylabel("distance moved in a step")
    axes[1].set_yscale("log")
    axes[2].set_ylabel("cosine with the step before")
    axes[2].axhline(0.0, color=GREY, linewidth=0.8, zorder=0)
    axes[2].set_ylim(-1.05, 1.05)
    _label_steps(axes, study.steps)
    _layer_legend(figure, axes[0], len(study.geometries))
    return figure


def seeds(study: Study) -> Figure:
    """How far runs are from each other, a line for each layer: the mean over all pairs, beside their norm."""
    import torch
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.8, 3.2), layout="constrained")
    axes = figure.subplots()
    looks = _looks(list(study.geometries))
    for layer, geometry in study.geometries.items():
        apart = torch.tensor(list(study.seed_distances(layer).values())).mean(0)
        norms = geometry.norms.unflatten(0, (len(study.runs), -1)).mean(0)  # type: ignore[no-untyped-call]
        axes.plot(study.steps, apart / norms, label=layer, **looks[layer])
    axes.axhline(math.sqrt(2.0), color=GREY, linewidth=0.8, linestyle="--", zorder=0)
    axes.annotate(
        "orthogonal",
        (1.0, math.sqrt(2.0)),
        xycoords=("axes fraction", "data"),
        xytext=(0, 5),  # clear of the runs, most of which are nearly so
        textcoords="offset points",
        ha="right",
        va="bottom",
        color=GREY,
        fontsize=7,
    )
    axes.set_ylabel("distance between runs / norm")
    axes.set_ylim(0.0, max(1.6, axes.get_ylim()[1]))
    _label_steps([axes], study.steps)
    _layer_legend(figure, axes, len(study.geometries))
    return figure


def window_maps(study: Study) -> Figure:
    """A panel a layer: how far apart the subspaces are in which the first run moves at different times."""
    from matplotlib.colors import Normalize

    norm = Normalize(0.0, 1.0)

    def panel(axes: Axes, layer: str) -> None:
        axes.imshow(study.window_distances(layer, 0), cmap="magma_r", norm=norm)
        axes.set_title(_title(layer), fontsize=8, loc="left")
        starts = [str(study.steps[window.start]) for window in study.windows]
        axes.set_xticks(range(len(starts)), starts, fontsize=6, rotation=90)
        axes.set_yticks(range(len(starts)), starts, fontsize=6)
        axes.grid(visible=False)

    figure, used = _grid(list(study.geometries), panel)
    _colours(figure, used, norm, "distance of subspaces", cmap="magma_r")
    figure.supxlabel(f"window of {study.runs[0]} that begins at step", fontsize=9)
    return figure


def line(tables: Mapping[str, Sequence[float]], at: Sequence[float], ends: tuple[str, str]) -> Figure:
    """Each score along the straight line between two sets of weights."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.6 * len(tables), 2.8), layout="constrained")
    for axes, (name, values), colour in zip(
        figure.subplots(1, len(tables), squeeze=False)[0], tables.items(), COLOURS * len(tables), strict=False
    ):
        axes.plot(at, values, color=colour, marker="o", markersize=3)
        axes.plot([at[0], at[-1]], [values[0], values[-1]], color=GREY, linestyle="--", linewidth=0.9, zorder=0)
        axes.set_xticks([0.0, 0.5, 1.0], [ends[0], "half way", ends[1]])
        axes.set_ylabel(name)
    return figure


def _grid(layers: Sequence[str], panel: Callable[[Axes, str], None]) -> tuple[Figure, list[Axes]]:
    """A figure of one panel a layer: of more than fit, the first ones' neighbours in equal distances."""
    from matplotlib.figure import Figure

    drawn = list(layers)
    if len(drawn) > PANELS:
        drawn = [layers[round(place * (len(layers) - 1) / (PANELS - 1))] for place in range(PANELS)]
    columns = min(COLUMNS, len(drawn))
    rows = math.ceil(len(drawn) / columns)
    figure = Figure(figsize=(0.9 + 2.35 * columns, 0.7 + 2.45 * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, layer in zip(panels, drawn, strict=False):
        panel(axes, layer)
    for axes in panels[len(drawn) :]:
        axes.set_visible(False)
    return figure, panels[: len(drawn)]


def _title(layer: str, shares: str = "") -> str:
    """Of a long name its end, which says more than its beginning."""
    room = TITLE - len(shares)
    return (layer if len(layer) <= room else f"…{layer[1 - room :]}") + shares


def _time(steps: Sequence[int]) -> Any:
    """Colours by step; by its logarithm where most steps are among the first tenth."""
    from matplotlib.colors import Normalize, SymLogNorm

    if steps[len(steps) // 2] * 10 < steps[-1]:
        return SymLogNorm(linthresh=1.0, vmin=steps[0], vmax=steps[-1])
    return Normalize(steps[0], steps[-1])


def _colours(figure: Figure, panels: Sequence[Axes], norm: Any, label: str, *, cmap: str = TIME) -> None:
    from matplotlib.cm import ScalarMappable

    bar = figure.colorbar(ScalarMappable(norm, cmap), ax=list(panels), label=label, shrink=0.8, pad=0.015, aspect=30)
    bar.outline.set_visible(False)


def _legend(figure: Figure, study: Study) -> None:
    """Which marker is which run, and what the rings are."""
    from matplotlib.lines import Line2D

    def mark(marker: str, label: str, **look: Any) -> Line2D:
        return Line2D([], [], linestyle="none", marker=marker, label=label, **look)

    runs = [
        mark(MARKERS[number % len(MARKERS)], name, color=GREY, markersize=4.5) for number, name in enumerate(study.runs)
    ]
    start = mark("o", "start", markerfacecolor="none", markeredgecolor=INK, markersize=6.5)
    end = mark("o", "end", markerfacecolor="none", markeredgecolor=COLOURS[1], markeredgewidth=1.6, markersize=6.5)
    figure.legend(handles=[*runs, start, end], loc="outside upper left", ncols=6, frameon=False, fontsize=8)


def _looks(layers: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colours from the first layer to the last; all weights together are black."""
    import matplotlib

    shades = matplotlib.colormaps[TIME]
    own = [layer for layer in layers if layer != "all weights"]
    looks = {
        layer: {"color": shades(0.95 * place / max(1, len(own) - 1)), "linewidth": 1.2}
        for place, layer in enumerate(own)
    }
    return {"all weights": {"color": INK, "linewidth": 2.0, "zorder": 3}, **looks}


def _label_steps(panels: Sequence[Axes], steps: Sequence[int]) -> None:
    logarithmic = steps[len(steps) // 2] * 10 < steps[-1]
    for axes in panels:
        axes.set_xlabel("step")
        if logarithmic:
            axes.set_xscale("symlog", linthresh=1.0)
        axes.set_xlim(steps[0], steps[-1])


def _layer_legend(figure: Figure, axes: Axes, count: int) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if count > PANELS:  # the first, the last and some between
        kept = sorted({0, 1, *(round(part * (count - 1) / 6) for part in range(1, 7))})
        handles, labels = [handles[place] for place in kept], [labels[place] for place in kept]
    figure.legend(handles, labels, loc="outside right center", frameon=False, title="layer", title_fontsize=8)
