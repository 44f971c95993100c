"""``python -m runner status SWEEP``: how a sweep stands, at any time, from any terminal. Reads only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from runner.problem import Refused
from runner.results.recorded import read_run
from runner.sweep import ledger
from runner.sweep.ledger import Entry, State


def main(argv: Sequence[str]) -> int:
    """Print a line for each job of the sweep in the folder; 0 when all completed, else 1."""
    if len(argv) != 1:
        raise Refused(["status: takes the folder of a sweep; python -m runner status SWEEP"])
    folder = Path(argv[0]).expanduser()
    entries = ledger.read(folder)
    if not entries:
        raise Refused([f"status {folder}: is not the folder of a sweep: it has no {ledger.NAME}"])
    states = [ledger.state_of(folder / entry.name) for entry in entries]
    for line in lines(folder, entries, states):
        print(line)
    return 0 if all(state.state == "completed" for state in states) else 1


def lines(folder: Path, entries: Sequence[Entry], states: Sequence[State]) -> Iterator[str]:
    """``lenet__0  running  epoch 3/10  valid/accuracy 0.9312``, and how many are in each state."""
    width = max(len(entry.name) for entry in entries)
    for entry, state in zip(entries, states, strict=True):
        yield f"{entry.name:<{width}}  {state.state:<11}  {_where(folder / entry.name, state)}".rstrip()
    counts = {kind: sum(state.state == kind for state in states) for kind in dict.fromkeys(s.state for s in states)}
    yield f"{len(states)} jobs: " + ", ".join(f"{count} {kind}" for kind, count in counts.items())


def _where(folder: Path, state: State) -> str:
    if state.state == "failed":
        return state.reason.splitlines()[0] if state.reason else ""
    if not state.manifest:
        return ""
    run = read_run(folder)
    step, total, per_epoch = (run.last_evaluation, *(state.manifest.get(key) for key in ("steps", "steps_per_epoch")))
    measured = run.evaluations[step].metrics if step else {}
    valid = {name: value for name, value in measured.items() if name.startswith("valid/")}
    told = state.manifest.get("metrics") or valid
    place = f"epoch {step / per_epoch:g}/{total / per_epoch:g}  " if step and per_epoch and total else ""
    return place + "  ".join(f"{name} {value:.4g}" for name, value in told.items())
