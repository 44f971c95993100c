"""``python -m runner find-lr [key=value ...] [from_lr=1e-7 to_lr=10 steps=100]``: a learning-rate range test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runner.cli.candidate import candidate, numbers, on_device
from runner.finding.curve import Curve, NotFound, Ramp
from runner.preflight.folder import make_folder
from runner.problem import Failed, Refused

if TYPE_CHECKING:
    from omegaconf import DictConfig

ROWS = 16  # of the table at most
SWEEP = "leave -m out; in a sweep optimizer.lr=find looks for the rate of each job"


def main(argv: Sequence[str]) -> int:
    """Print the curve and the rate that it suggests; write both, and a picture, into a new folder.

    Raises ``Failed``, when all is written, for a curve that suggests none.
    """
    values, words = numbers(argv, {"from_lr": 1e-7, "to_lr": 10.0, "steps": 100})
    try:
        ramp = Ramp(values["from_lr"], values["to_lr"], int(values["steps"]))
    except ValueError as error:
        raise Refused([str(error)]) from None
    cfg, folder = candidate(words, verb="find-lr", one=SWEEP, fixed=["optimizer.lr=find"])
    if (folder / "find_lr.csv").exists():
        raise Refused([f"hydra.run.dir={folder}: holds a curve already, and nothing is overwritten; choose another"])
    curve = _curve(cfg, ramp)
    try:
        suggestion, reason = curve.suggestion(), ""
    except NotFound as error:
        suggestion, reason = None, str(error)
    print("\n".join(lines(curve)))
    _write(curve, suggestion, make_folder(folder, "hydra.run.dir"))
    if suggestion is None:
        raise Failed(f"no learning rate is suggested: {reason}; try another range (from_lr, to_lr) or more steps")
    print(f"suggestion: optimizer.lr={suggestion:g}")
    return 0


def _curve(cfg: DictConfig, ramp: Ramp) -> Curve:
    from runner.finding.rate import search

    with on_device(cfg) as device:
        return search(cfg, device=device, ramp=ramp)


def lines(curve: Curve) -> Iterator[str]:
    """For the console: every few steps of the curve, and how it ended."""
    rows = list(curve.rows())
    yield f"{'step':>6}  {'lr':>9}  {'loss':>10}  {'smoothed':>10}"
    shown = rows[:: max(1, -(-len(rows) // ROWS))]
    for step, rate, loss, smoothed in [*shown, *(rows[-1:] if rows[-1:] != shown[-1:] else [])]:
        yield f"{step:>6}  {rate:>9.3g}  {loss:>10.4g}  {smoothed:>10.4g}"
    if curve.ended:
        yield f"ended after {len(rows)} of {curve.ramp.steps} steps: {curve.ended}"


def _write(curve: Curve, suggestion: float | None, folder: Path) -> None:
    from runner.drawing import available

    curve.write_csv(folder / "find_lr.csv")
    written = ["find_lr.csv"]
    if not available():
        print("no picture: needs matplotlib; install runner[report]")
    elif curve.losses:
        from runner.finding.picture import picture
        from runner.results.trajectories.pictures import save

        written.append(save(lambda: picture(curve, suggestion), folder / "find_lr.svg").name)
    print(f"written: {folder}: {', '.join(written)}")
