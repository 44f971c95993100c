"""Pictures of how scores tell novel samples from normal ones. Needs matplotlib."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from runner.durable import appearing
from runner.observers.observer import EvaluationRecord, Outcome, RunInfo, StepRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BINS = 60
NORMAL, NOVEL, GUESS = "#0072B2", "#D55E00", "#8c8c8c"  # Okabe and Ito's blue and vermilion; grey


@runtime_checkable
class Ranks(Protocol):
    """A task that keeps scores (B,) and whether samples are novel (B,), batch by batch, since an evaluation began."""

    ranked: list[tuple[Tensor, Tensor]]


class NoveltyPictures:
    """``images/novelty_scores.png`` and ``images/novelty_roc.png`` of the test part, for tasks that rank samples.

    The first is a histogram of the scores of both kinds; the second the ROC curve, with that of guessing.
    Raises ``ValueError`` without matplotlib, and when the run has no folder.
    """

    def __init__(self) -> None:
        if importlib.util.find_spec("matplotlib") is None:
            raise ValueError(
                "logger=novelty draws with the package matplotlib; pip install 'runner[report]', "
                "or leave novelty out of logger"
            )
        self._run: RunInfo | None = None

    def started(self, run: RunInfo) -> None:
        if run.folder is None:
            raise ValueError("NoveltyPictures needs a run with a folder to write into; give one, or leave it out")
        self._run = run

    def logged(self, record: StepRecord) -> None: ...

    def evaluated(self, record: EvaluationRecord) -> None: ...

    def finished(self, outcome: Outcome) -> None:
        run, self._run = self._run, None
        if run is None or run.folder is None or outcome.state != "completed" or not isinstance(run.task, Ranks):
            return
        columns = [torch.cat(list(column)).cpu().numpy() for column in zip(*run.task.ranked, strict=True)]
        scores, novel = columns[0].astype("float64"), columns[1]
        folder = run.folder / "images"
        folder.mkdir(exist_ok=True)
        _write(folder / "novelty_scores.png", lambda axes: _histogram(axes, scores, novel))
        if 0 < novel.sum() < len(novel):
            _write(folder / "novelty_roc.png", lambda axes: _roc(axes, scores, novel))


def _histogram(axes: Axes, scores: Any, novel: Any) -> None:
    """Over the range that holds all but the highest half percent, which would squeeze the others together."""
    import numpy as np

    low, high = scores.min(), np.quantile(scores, 0.995)
    edges: Any = np.linspace(low, max(high, np.nextafter(low, np.inf)), BINS + 1)
    for kind, name, colour in ((~novel, "normal", NORMAL), (novel, "novel", NOVEL)):
        some = scores[kind].clip(edges[0], edges[-1])  # the highest are counted in the last bin
        weights = np.full(len(some), 1 / max(len(some), 1))
        axes.hist(some, edges, weights=weights, color=colour, alpha=0.6, label=f"{name} (n={len(some)})")
    axes.set_xlabel("score (the last bin has all above)")
    axes.set_ylabel("fraction of the kind")
    axes.legend(frameon=False)


def _roc(axes: Axes, scores: Any, novel: Any) -> None:
    from sklearn.metrics import roc_auc_score, roc_curve

    false, true, _ = roc_curve(novel, scores)
    axes.plot(false, true, color=NOVEL, label=f"scores: AUC {roc_auc_score(novel, scores):.3f}")
    axes.plot([0, 1], [0, 1], color=GUESS, linestyle="--", label="guessing: AUC 0.5")
    axes.set_xlabel("normal samples above the threshold")
    axes.set_ylabel("novel samples above the threshold")
    axes.set_aspect("equal")
    axes.legend(frameon=False, loc="lower right")


def _write(path: Path, draw: Callable[[Axes], None]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 3.6), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    draw(axes)
    with appearing(path) as temporary:
        figure.savefig(temporary, format="png")
