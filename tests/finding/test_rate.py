"""The range test of a session, and what is left of it: nothing."""

from __future__ import annotations

import pytest
import tiny
import torch
from cli.terminal import SMALL
from hydra import compose
from torch import nn

from runner.config import build
from runner.finding.curve import Ramp
from runner.finding.rate import range_test, search
from runner.observers.observer import EvaluationRecord, Outcome, RunInfo, StepRecord

CPU = torch.device("cpu")
RAMP = Ramp(0.01, 1.0, 20)  # from the rate of the tiny session's optimizer


def test_each_step_has_its_rate_and_its_loss() -> None:
    session = tiny.session(schedule="constant")
    (update,) = session.updates.values()
    other = nn.Parameter(torch.zeros(1))
    update.optimizer.add_param_group({"params": [other], "lr": 0.3})
    taken: list[float] = []
    update.optimizer.register_step_post_hook(lambda optimizer, *_: taken.append(optimizer.param_groups[0]["lr"]))
    curve = range_test(session, RAMP)
    assert taken == curve.rates
    assert len(taken) == 20
    assert taken[0] == 0.01
    assert taken[-1] == pytest.approx(1.0)
    assert update.optimizer.param_groups[1]["lr"] == 0.3  # its own
    assert session.state.step == 20


def test_the_first_loss_is_that_which_training_begins_with() -> None:
    class Losses:
        first = 0.0

        def started(self, run: RunInfo) -> None: ...

        def logged(self, record: StepRecord) -> None: ...

        def evaluated(self, record: EvaluationRecord) -> None:
            self.first = record.metrics["train/loss"]

        def finished(self, outcome: Outcome) -> None: ...

    plain = Losses()
    tiny.session(schedule="constant", steps=1, observers=[plain]).train()
    assert range_test(tiny.session(schedule="constant"), RAMP).losses[0] == plain.first


def test_a_task_of_several_networks_is_refused() -> None:
    with pytest.raises(ValueError, match="one network, got generator, discriminator"):
        range_test(tiny.session("gan", schedule="constant"), RAMP)


def test_an_optimizer_in_which_nothing_follows_is_refused() -> None:
    with pytest.raises(ValueError, match="no parameter follows"):
        range_test(tiny.session(schedule="constant"), Ramp())


@pytest.mark.slow
@pytest.mark.usefixtures("shipped")
def test_a_search_is_a_function_of_the_configuration() -> None:
    cfg = compose("config", overrides=[*SMALL, "optimizer=sgd"])
    before = build.flat(cfg)

    def losses(**values: object) -> list[float]:
        changed = build.with_values(cfg, {key.replace("__", "."): value for key, value in values.items()})
        return search(changed, device=CPU, ramp=RAMP).losses

    one = losses()
    torch.rand(3)
    assert losses(optimizer__lr="find", scheduler={"_target_": "runner.optim.schedulers.one_cycle"}) == one
    line = {"_target_": "runner.optim.momentum.linear", "initial_momentum": 0.2, "final_momentum": 0.9}
    assert losses(momentum=line) == one
    assert build.flat(cfg) == before
    for other in ({"seed": 1}, {"trainer__clip_norm": 1e-3}, {"trainer__batch_size": 8}, {"optimizer__momentum": 0.5}):
        assert losses(**other) != one, other
