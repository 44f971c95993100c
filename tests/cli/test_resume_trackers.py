"""``resume`` of what is complete: trackers that were away are told what they have missed."""

from __future__ import annotations

from pathlib import Path

import notebook
import pytest
from cli.terminal import Terminal

from runner.observers.outbox import Begin, End, Outbox


@pytest.mark.parametrize("of_sweep", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_complete_run_tells_what_was_missed(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, of_sweep: bool
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    where = ["hydra.sweep.dir=sweep", "-m"] if of_sweep else ["hydra.run.dir=mlp__0"]
    terminal.runs(*where)
    run = terminal.folder / ("sweep/mlp__0" if of_sweep else "mlp__0")
    assert terminal.status(str(run))["state"] == "completed"
    outbox = Outbox(run / "tracking" / "notebook.jsonl")
    outbox.put(Begin("notebook:Notebook", {"pages": str(terminal.folder / "pages")}, "mlp__0", {}, 0, 1))
    outbox.put(End("completed", 2, 2))
    outbox.close()
    told = "notebook has been told the 2 it had missed"
    target = "sweep" if of_sweep else "mlp__0"
    assert told in terminal.runs("resume", target, small=False).out
    assert [line[0] for line in notebook.read(terminal.folder / "pages")] == ["begin", "end"]
    assert told not in terminal.runs("resume", target, small=False).out
