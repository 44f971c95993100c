"""What is tried of a batch size; on a GPU, how much it takes."""

from __future__ import annotations

import math

import pytest
import tiny
import torch
from cli.terminal import SMALL
from hydra import compose

from runner.config.identity import changes
from runner.finding.memory import STEPS, Sizes, of_size, room_gib, use


def test_training_steps_and_one_batch_of_an_evaluation_are_made() -> None:
    session = tiny.session(steps=14)
    before = [weights.clone() for weights in session.task.parameters()]
    scored: list[int] = []
    session.task.model.register_forward_hook(  # type: ignore[union-attr]
        lambda module, inputs, _: None if module.training else scored.append(len(inputs[0]))
    )
    use(session)
    assert session.state.step == STEPS
    assert scored == [4]  # of 7 validation samples
    assert not any(torch.equal(*pair) for pair in zip(before, session.task.parameters(), strict=True))


@pytest.mark.usefixtures("shipped")
def test_another_batch_size_is_all_that_is_other_but_what_thaws_takes_memory_from_the_start() -> None:
    cfg = compose("config", overrides=[*SMALL, "optimizer.lr=find", "freeze={a.*: 2, b.*: null}"])
    changed = changes(cfg, of_size(cfg, 16))
    assert changed.pop("freeze.a.*") == [2, None]
    assert changed.pop("trainer.batch_size") == [4, 16]
    assert {key for key in changed if not key.startswith(("scheduler.", "trainer."))} == {"optimizer.lr"}
    assert {key for key in changed if key.startswith("trainer.")} == {
        "trainer.evaluate_every_steps",
        "trainer.save_every_steps",
    }


@pytest.mark.gpu
@pytest.mark.usefixtures("shipped")
def test_a_batch_that_is_too_large_is_found_and_leaves_nothing_behind() -> None:
    device = torch.device("cuda")
    samples = ["dataset.train_size=4096", "dataset.height=64", "dataset.width=64", "trainer.resident=host"]
    cfg = compose("config", overrides=[*SMALL, *samples, "model.hidden=[4096]"])
    torch.cuda.set_per_process_memory_fraction(0.25 / room_gib(device))
    try:
        sizes = Sizes(cfg, device)
        found = sizes.largest()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert 4 <= found <= 4096
    assert math.isfinite(sizes.peaks_gib[found])
    assert all(math.isinf(peak) for size, peak in sizes.peaks_gib.items() if size > found)
    assert torch.cuda.memory_allocated(device) == 0
