"""Where the numbers of two runs part: the first evaluation, tensor and score that differ, and by how much."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.results.recorded import Evaluation, Recorded

if TYPE_CHECKING:
    from torch import Tensor

WALL_CLOCK = ("samples_per_s", "warmup_s", "elapsed_s", "memory_gib")


@dataclass(frozen=True)
class Parting:
    """The first evaluation at which two runs are not the same.

    ``tensors`` are the names of those that differ, in the order of the weights, of ``total_tensors``; ``first`` is a
    line about the first of them. ``metrics`` has a line for each score that differs. ``only_in`` is A or B when the
    other run did not evaluate at this step.
    """

    step: int
    epoch: float | None = None
    weights_differ: bool = False
    tensors: tuple[str, ...] = ()
    total_tensors: int = 0
    first: str = ""
    metrics: tuple[str, ...] = ()
    only_in: str = ""

    @property
    def place(self) -> str:
        """``the evaluation at step 40 (epoch 2)``."""
        if self.step == 0:
            return "the initial weights"
        epoch = "" if self.epoch is None else f" (epoch {self.epoch:.4g})"
        return f"the evaluation at step {self.step}{epoch}"

    def lines(self) -> Iterator[str]:
        where = f"step {self.step}"
        if self.only_in:
            yield f"{where}: evaluated in {self.only_in} only"
        elif self.tensors:
            yield f"{where}: {len(self.tensors)} of {self.total_tensors} tensors differ; the first is {self.first}"
        elif self.weights_differ:
            yield f"{where}: the weights differ; in which tensor is not recorded"
        else:
            yield f"{where}: the weights are the same"
        yield from (f"{where}: {line}" for line in self.metrics)


def parting_at(step: int, a: Recorded, b: Recorded) -> Parting | None:
    """How the evaluations at ``step`` differ; None when they are the same."""
    steps_per_epoch = a.manifest.get("steps_per_epoch")
    epoch = step / steps_per_epoch if steps_per_epoch else None
    if step not in a.evaluations or step not in b.evaluations:
        return Parting(step, epoch, only_in="A" if step in a.evaluations else "B")
    ours, theirs = a.evaluations[step], b.evaluations[step]
    names = list(dict.fromkeys([*ours.tensors, *theirs.tensors]))
    differing = tuple(name for name in names if _digest(ours, name) != _digest(theirs, name))
    weights_differ = ours.weights_sha256 != theirs.weights_sha256
    metrics = tuple(differing_metrics(ours.metrics, theirs.metrics))
    if not (weights_differ or differing or metrics):
        return None
    first = f"{differing[0]}: {_norm(ours, differing[0])} in A, {_norm(theirs, differing[0])} in B" if differing else ""
    return Parting(step, epoch, weights_differ, differing, len(names), first, metrics)


def _digest(evaluation: Evaluation, name: str) -> str:
    return evaluation.tensors[name][0] if name in evaluation.tensors else ""


def _norm(evaluation: Evaluation, name: str) -> str:
    return f"norm {evaluation.tensors[name][1]}" if name in evaluation.tensors else "absent"


def same(left: Any, right: Any) -> bool:
    """Equal to the bit: NaN equals NaN, and 0.0 is not -0.0."""
    return json.dumps(left, sort_keys=True, default=str) == json.dumps(right, sort_keys=True, default=str)


def differing_metrics(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    """``valid/loss: 0.1 in A, 0.2 in B, off by 0.1 (relative 1)`` for each score that differs; times are none."""
    for name in dict.fromkeys([*ours, *theirs]):
        left, right = ours.get(name), theirs.get(name)
        if name not in WALL_CLOCK and not same(left, right):
            told = ("absent" if value is None else value for value in (left, right))
            yield "{}: {} in A, {} in B{}".format(name, *told, _off(left, right))


def _off(left: float | None, right: float | None) -> str:
    off = math.nan if left is None or right is None else abs(right - left)
    if not math.isfinite(off):  # one of them is absent, NaN or infinite: seeing both says it all
        return ""
    return f", off by {off:.3g}" + (f" (relative {off / abs(left):.3g})" if left else "")


def largest_difference(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> tuple[str, float] | None:
    """The tensor with the largest absolute difference, and how large; None when all that can be compared agree.

    NaN equals NaN, and is infinitely far from anything else. Tensors of another shape are left out.
    """
    import torch

    distances = {}
    for name in ours:
        if name not in theirs or ours[name].shape != theirs[name].shape or ours[name].numel() == 0:
            continue
        left, right = ours[name].to(torch.float64), theirs[name].to(torch.float64)
        agree = (left == right) | (left.isnan() & right.isnan())
        apart = torch.where(agree, 0.0, (left - right).abs()).nan_to_num(nan=float("inf"), posinf=float("inf"))
        distances[name] = float(apart.max())
    furthest = max(distances, key=distances.__getitem__, default="")
    return (furthest, distances[furthest]) if distances.get(furthest) else None
