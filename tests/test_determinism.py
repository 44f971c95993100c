"""Does a training repeat to the bit? A difference is found where it arises, and so is what cannot be exact."""

from __future__ import annotations

import os
import re
import time
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor, nn

from runner import digest
from runner.data.augment import CropFlip
from runner.determinism import Refusal, Report, examine
from runner.problem import Interrupted
from runner.session import Session
from runner.tasks import Classification
from runner.trace import Check, Difference, Recording, Watch


def noise(like: Tensor) -> Tensor:
    """What no seed reaches."""
    return like * (1 + int.from_bytes(os.urandom(2)) / 2**20)


class Drawing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return noise(x)


class DrawingBackwards(torch.autograd.Function):
    @staticmethod
    def forward(_context: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(_context: Any, *gradients: Tensor) -> Tensor:
        return noise(gradients[0])


class PuttingBackwards(torch.autograd.Function):
    @staticmethod
    def forward(_context: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(_context: Any, *gradients: Tensor) -> Tensor:
        return put(gradients[0])


def put(x: Tensor) -> Tensor:
    """The same, by an operation that has no deterministic form on any device."""
    return x.clone().put_(torch.arange(x.numel()), x.reshape(-1))


class Applied(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Around(nn.Module):
    """Something of its own before a module, as blocks of networks do."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.layer = nn.Linear(36, 36)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(self.function(x * self.layer.weight.sum()))
        return y


def making(*layers: Callable[[], nn.Module]) -> Callable[[], Session]:
    """Sessions of a classifier with ``layers`` before its last."""

    def make() -> Session:
        torch.manual_seed(0)
        parts = [layer() for layer in layers]
        model = nn.Sequential(nn.Flatten(), *parts, nn.Linear(tiny.PIXELS**2, tiny.CLASSES))
        return tiny.session(task=Classification(model, nn.CrossEntropyLoss()), steps=4)

    return make


def examined(make: Callable[[], Session]) -> Report:
    return examine(make, steps=3, pairs=1, timing_s=0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["classification", "gan"])
def test_a_sound_training_repeats_to_the_bit(kind: str) -> None:
    report = examine(lambda: tiny.session(kind, schedule="one_cycle"), steps=20, timing_s=0)
    assert report.steps == 14  # what the plan has
    assert report.fast.exact
    assert report.deterministic.exact
    assert report.fast.tensors == report.deterministic.tensors > 14 * 20
    assert len(report.ratios) == 3
    assert re.search(
        r"cost of exactness: +[+-]\d+\.\d % \(-?\d+\.\d to -?\d+\.\d, 3 pairs of 12 steps\)", report.text()
    )
    assert report.text().endswith("trainer.deterministic=true is not needed")


@pytest.mark.slow
def test_short_passes_are_timed_more_often() -> None:
    assert len(examine(making(), steps=3, pairs=1, timing_s=1.0).ratios) > 3


@pytest.mark.parametrize(("precision", "micro_batches"), [("bf16", 1), ("fp16", 1), ("fp32", 2)])
def test_so_it_does_in_any_precision(precision: str, micro_batches: int) -> None:
    assert examined(lambda: tiny.session(precision=precision, micro_batches=micro_batches)).fast.exact


@pytest.mark.slow
def test_a_compiled_network_is_looked_at_from_outside() -> None:
    """What the first pass's evaluation had compiled would, without a reset, serve the second: other kernels."""

    def make() -> Session:
        made = tiny.session()
        made.task.get_submodule("model").compile()
        return made

    report = examined(make)
    assert report.fast.exact
    assert report.deterministic.exact
    recording = Recording()
    Watch(make(), recording.see).train(2)
    kinds = {event.what.partition(" of ")[2] for event in recording.events if event.what.startswith("output of ")}
    assert kinds == {"loss (CrossEntropyLoss)"}


def test_the_module_that_draws_is_named() -> None:
    report = examined(making(linear, Drawing, nn.ReLU))
    for verdict in (report.fast, report.deterministic):
        assert verdict.difference is not None
        assert verdict.difference.text().startswith("step 1: output of model.2 (Drawing), largest difference ")
        assert 0 < (verdict.difference.largest or 0) < 1
    assert report.text().splitlines()[-1].startswith("trainer.deterministic=true does not help")


def test_a_gradient_that_differs_is_named() -> None:
    report = examined(making(linear, lambda: Applied(DrawingBackwards.apply)))
    assert report.fast.difference is not None
    assert report.fast.difference.what in ("gradient of model.1.weight", "gradient of model.1.bias")


def test_an_update_that_differs_is_named() -> None:
    def make() -> Session:
        made = making()()
        for update in made.updates.values():
            for group in update.optimizer.param_groups:
                group["lr"] = noise(torch.tensor(0.1)).item()
        return made

    report = examined(make)
    assert report.fast.difference is not None
    assert report.fast.difference.what == "weight after the update: model.1.weight"


def test_weights_and_batches_that_differ_are_named() -> None:
    def unseeded() -> Session:
        made = making()()
        nn.init.normal_(next(made.task.parameters()), generator=seeded_by_the_time())
        return made

    def changing() -> Session:
        return tiny.session(augmentation=Noisy(), steps=4)

    assert text_of(examined(unseeded)).startswith("step 0: initial model.1.weight")
    assert text_of(examined(changing)).startswith("step 1: batch, largest")


class Noisy(CropFlip):
    def __call__(self, images: Tensor, *draws: Tensor) -> Tensor:
        return noise(super().__call__(images, *draws))


def seeded_by_the_time() -> torch.Generator:
    return torch.Generator().manual_seed(time.perf_counter_ns())


def text_of(report: Report) -> str:
    assert report.fast.difference is not None
    return report.fast.difference.text()


def test_a_difference_that_looking_hides_is_found() -> None:
    report = examine(making(lambda: Unwatched(36, 36)), steps=3, pairs=2, timing_s=0)
    assert text_of(report) == "step 3: weights, and only when nobody looks at each tensor"


class Unwatched(nn.Linear):
    """Races as a GPU may: not when someone waits for each result."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y if self._forward_hooks else noise(y)


def linear() -> nn.Module:
    return nn.Linear(36, 36)


@pytest.mark.parametrize(
    ("layer", "where"),
    [
        (lambda: Applied(put), "model.2 (Applied)"),
        (lambda: Applied(PuttingBackwards.apply), "the backward pass of model.2 (Applied)"),
        (lambda: Around(put), "model.2 (Around)"),
        (lambda: Around(PuttingBackwards.apply), "the backward pass of model.2 (Around)"),
    ],
)
def test_what_is_refused_is_named_with_its_module(layer: Callable[[], nn.Module], where: str) -> None:
    report = examined(making(linear, layer))
    assert report.deterministic.refused == (Refusal("put_", where),)
    assert f"refused in {where}: put_" in report.text()
    assert report.fast.exact  # its order is fixed on the CPU
    assert report.ratios == ()


def test_all_that_is_refused_is_named_and_other_warnings_are_not_lost() -> None:
    def warned(x: Tensor) -> Tensor:
        if torch.is_deterministic_algorithms_warn_only_enabled():
            warnings.warn("one's own", UserWarning, stacklevel=1)
        return x

    with pytest.warns(UserWarning, match="one's own"):
        report = examined(
            making(linear, lambda: Applied(put), lambda: Applied(unpooled), lambda: Applied(warned), Drawing)
        )
    assert report.deterministic.refused == (
        Refusal("put_", "model.2 (Applied)"),
        Refusal("max_unpooling2d_forward_out", "model.3 (Applied)"),
    )
    assert report.text().endswith("no deterministic implementation: replace put_, max_unpooling2d_forward_out")


def unpooled(x: Tensor) -> Tensor:
    images = x.view(-1, 1, tiny.PIXELS, tiny.PIXELS)
    pooled, places = nn.functional.max_pool2d(images, (1, 1), return_indices=True)
    return nn.functional.max_unpool2d(pooled, places, (1, 1)).flatten(1)


def test_what_an_optimizer_or_the_data_may_not_do_is_named() -> None:
    class Refused(CropFlip):
        def __call__(self, images: Tensor, *draws: Tensor) -> Tensor:
            return put(super().__call__(images, *draws))

    def putting() -> None:
        put(torch.ones(2))

    def stepping() -> Session:
        made = making()()
        for update in made.updates.values():
            update.optimizer.register_step_post_hook(lambda *_: putting())
        return made

    assert examined(lambda: tiny.session(augmentation=Refused())).deterministic.refused[0].where == "the data"
    assert examined(making()).deterministic.exact
    assert examined(stepping).deterministic.refused[0].where == "the optimizer's step"


def test_exactness_is_advised_where_it_helps() -> None:
    def fast(x: Tensor) -> Tensor:
        return x if torch.are_deterministic_algorithms_enabled() else noise(x)

    report = examined(making(lambda: Applied(fast)))
    assert "differ at step 1: output of model.1 (Applied)" in report.text()
    assert report.deterministic.exact
    assert report.text().endswith("\nset trainer.deterministic=true")


def test_what_the_session_raises_comes_out_and_the_settings_come_back() -> None:
    def broken(_: Tensor) -> Tensor:
        raise RuntimeError("one's own mistake" + str(torch.are_deterministic_algorithms_enabled()))

    def stopped() -> Session:
        made = tiny.session()
        made.state.stop = "asked to"
        return made

    with pytest.raises(RuntimeError, match=r"^one's own mistakeFalse$"):
        examined(making(lambda: Applied(broken)))
    with pytest.raises(Interrupted, match="asked to"):
        examined(stopped)
    examined(making(lambda: Applied(put)))
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.is_warn_always_enabled()


def test_looking_changes_nothing_and_sees_everything_in_order() -> None:
    watched, alone = tiny.session("gan"), tiny.session("gan")
    recording = Recording()
    Watch(watched, recording.see).train(14)
    alone.train()
    assert digest.of_weights(watched.task) == digest.of_weights(alone.task)
    first = [event.what for event in recording.events if event.step == 1]
    order = [
        "batch",
        "output of generator.0 (Linear)",
        "output of discriminator.4 (Linear)",
        "loss of discriminator",
        "gradient of discriminator.4.weight",
        "optimizer state exp_avg of discriminator.4.weight",
        "weight after the update: discriminator.4.weight",
        "loss of generator",
        "gradient of generator.0.weight",
        "weight after the update: generator.0.weight",
        "buffer after the step: generator.1.running_mean",
    ]
    assert sorted(order, key=first.index) == order
    assert recording.events[-1].what == "score valid/fake_score"
    assert {event.step for event in recording.events} == set(range(15))


def test_a_pass_that_takes_another_way_is_found() -> None:
    one = torch.ones(1)
    recording = Recording()
    for what in ("a", "b"):
        recording.see(1, what, one)

    def checked(*seen: str) -> Difference | None:
        check = Check(recording.events)
        for what in seen:
            check.see(1, what, one)
        return check.end(1)

    assert checked("a", "b") is None
    assert checked("a", "c", "b") == Difference(1, "c, where the first pass came to b")
    assert checked("a", "b", "c") == Difference(1, "c, where the first pass came to the end")
    assert checked("a") == Difference(1, "the end, where the first pass came to b")


def test_beyond_the_room_only_the_size_of_a_difference_is_unknown() -> None:
    recording = Recording(room_bytes=8)
    for what in ("a", "b"):
        recording.see(1, what, torch.tensor([1.0, 2.0]))

    def checked(first: float, second: float) -> Difference | None:
        check = Check(recording.events)
        check.see(1, "a", torch.tensor([1.0, first]))
        check.see(1, "b", torch.tensor([1.0, second]))
        return check.end(1)

    assert checked(2.5, 2.0) == Difference(1, "a", 0.5)
    assert checked(2.0, 2.5) == Difference(1, "b", None)
