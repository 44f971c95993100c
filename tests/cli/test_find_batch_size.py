"""``find-batch-size`` where there is nothing for it to find."""

from __future__ import annotations

import pytest
from cli.terminal import SMALL, Terminal


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["trainer.device=cpu"], "find-batch-size: needs a GPU"),
        (["margin_fraction=1"], "margin_fraction=1: must lie between 0 and 1"),
        (["margin_fraction=some"], "margin_fraction=some: must be a number"),
        (["trainer.nproc=2"], "find-batch-size: looks at one process"),
        (["seed=0,1", "-m"], "-m: find-batch-size looks at one run"),
        (["model=vgg17"], "did you mean vgg16?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_it_is_refused_before_anything_is_done(terminal: Terminal, arguments: list[str], said: str) -> None:
    answer = terminal.runs("find-batch-size", *SMALL, *arguments, small=False)
    assert answer.status == 2
    assert said in answer.err
    assert terminal.left() == []
